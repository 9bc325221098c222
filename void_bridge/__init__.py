"""VOID Bridge: removing an object from a shot, and its effects on the scene.

    import void_bridge

    result = void_bridge.remove("plate.####.exr", "clean/", remove="roto.####.exr:A")

docs/reference/python.md explains these functions, which `void_bridge.api` holds. Importing the package alone imports
none of them: they are found when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, List

from void_bridge.version import __version__

if TYPE_CHECKING:
    from void_bridge.api import (
        Cancelled,
        Colour,
        Config,
        FrameRange,
        Job,
        JobStatus,
        MatteSource,
        RemovalProgress,
        RemovalResult,
        Sequence,
        VoidBridgeError,
        cancel,
        fetch,
        jobs,
        remove,
        status,
        submit,
        watch,
    )

__all__ = [
    "Cancelled",
    "Colour",
    "Config",
    "FrameRange",
    "Job",
    "JobStatus",
    "MatteSource",
    "RemovalProgress",
    "RemovalResult",
    "Sequence",
    "VoidBridgeError",
    "__version__",
    "cancel",
    "fetch",
    "jobs",
    "remove",
    "status",
    "submit",
    "watch",
]

if not TYPE_CHECKING:  # else every name would count as known

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("void_bridge.api"), name)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
