"""What a host imports, and the server, hold to their dependencies: tried with the others out of reach."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED_PIXELS = ("numpy", "cv2", "OpenEXR", "PyOpenColorIO", "av", "torch", "rich", "gpu_server")
BLOCKED_MODELS = ("torch", "diffusers", "transformers")

SCRIPT = """
import importlib, sys
blocked, modules = sys.argv[1].split(","), sys.argv[2].split(",")
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name + " is out of reach here")
sys.meta_path.insert(0, Blocker())
for module in modules:
    importlib.import_module(module)
"""


@pytest.mark.parametrize(
    ("modules", "blocked"),
    [
        ("void_bridge.client,void_bridge.config,void_bridge.job,void_bridge.protocol.framing", BLOCKED_PIXELS),
        ("void_bridge.sequence,void_bridge.hooks,void_bridge.pathmap,void_bridge.connection", BLOCKED_PIXELS),
        ("void_bridge,void_bridge.api", BLOCKED_PIXELS),
        ("void_bridge", ("zmq", "msgpack", "fileseq")),
        ("host_plugins", BLOCKED_PIXELS),
        ("gpu_server.server.app,gpu_server.serve_command", (*BLOCKED_MODELS, "numpy", "cv2")),
        ("gpu_server.worker.run,gpu_server.engines.propagate.engine", BLOCKED_MODELS),
    ],
)
def test_modules_import_without_optional_packages(modules, blocked):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(blocked), modules], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
