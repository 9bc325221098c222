"""What of the model goes where, so that a job fits into the memory there is."""
