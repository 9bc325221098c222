"""Memory plans: where each part of the model is in each phase of a job, so that the job fits the machine."""
