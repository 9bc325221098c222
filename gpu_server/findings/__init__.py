"""What `void-bridge doctor` says of what a server needs: GPU and driver, torch, weights, ports, its spool's files."""
