"""`python -m gpu_server.worker`: started by the server, ends with it."""

from gpu_server.worker.process import main

if __name__ == "__main__":
    raise SystemExit(main())
