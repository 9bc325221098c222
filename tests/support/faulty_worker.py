"""A worker on a device that fails: the command line of a server's `worker_command`.

    python faulty_worker.py FOLDER

While FOLDER has a file named like one of `FAULTS`, the transformer's next call removes the file and raises what a
device raises. The worker appends its process id to FOLDER/pids.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

FAULTS = ("accelerator", "runtime", "memory", "device-memory")


def main(folder: Path) -> int:
    import torch
    from diffusers import CogVideoXTransformer3DModel

    from gpu_server.worker.process import main as worker

    def fail(module, inputs):
        if not isinstance(module, CogVideoXTransformer3DModel):
            return
        for name in FAULTS:
            with suppress(FileNotFoundError):
                (folder / name).unlink()
                raise failure(name)

    def failure(name):
        if name == "accelerator":
            return torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")
        if name == "runtime":
            return RuntimeError("CUDA error: the launch timed out and was terminated")
        return MemoryError() if name == "memory" else torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")

    with open(folder / "pids", "a") as pids:
        pids.write(f"{os.getpid()}\n")
    torch.nn.modules.module.register_module_forward_pre_hook(fail)
    return worker()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
