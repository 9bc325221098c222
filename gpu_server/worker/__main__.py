"""`python -m gpu_server.worker`: the worker process, which its server starts and which ends with it."""

from gpu_server.worker.process import main

if __name__ == "__main__":
    raise SystemExit(main())
