"""A worker whose GPU is lost once: the command line of a server's `worker_command`.

    python faulty_worker.py FOLDER

If FOLDER has a file `lose-the-gpu`, the transformer's next call removes it and raises what torch raises then. The
worker appends its process id to FOLDER/pids.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def main(folder: Path) -> int:
    """Run a worker until its server ends."""
    import torch
    from diffusers import CogVideoXTransformer3DModel

    from gpu_server.worker.process import main as worker

    def fail(module, inputs):
        if isinstance(module, CogVideoXTransformer3DModel):
            with suppress(FileNotFoundError):
                (folder / "lose-the-gpu").unlink()
                raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")

    with open(folder / "pids", "a") as pids:
        pids.write(f"{os.getpid()}\n")
    torch.nn.modules.module.register_module_forward_pre_hook(fail)
    return worker()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
