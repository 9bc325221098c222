"""Site hooks: Python functions of a studio, named in the configuration as `module:function`.

resolve_output(job: Job) -> str | None      returns another output pattern
before_submit(job: Job) -> Job | None       returns another job; raises a VoidBridgeError to refuse it
after_result(job: Job, paths: list[Path], report: dict) -> None    called once every frame is on disk
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Callable, Dict, List

from void_bridge.config import Config
from void_bridge.errors import ConfigError, VoidBridgeError
from void_bridge.job import Job


def prepare_job(job: Job, config: Config) -> Job:
    """Return the job as the site's hooks change it. Raises ConfigError if a hook cannot be called or fails."""
    if config.resolve_output:
        output = _call(config.resolve_output, "resolve_output", str, job)
        job = job.replace(output=output) if output else job
    if config.before_submit:
        job = _call(config.before_submit, "before_submit", Job, job) or job
    return job


def announce_result(job: Job, paths: List[Path], report: Dict[str, object], config: Config) -> None:
    """Call the site's hook for a complete result. Raises ConfigError if it cannot be called or fails."""
    if config.after_result:
        _call(config.after_result, "after_result", object, job, paths, report)


def _call(name: str, key: str, expected: type, *args: object) -> Any:
    """Return the result of a hook, which is None or of the expected type. Raises ConfigError."""
    try:
        returned = _import_hook(name, key)(*args)
    except VoidBridgeError:
        raise
    except Exception as exc:
        raise ConfigError(f"{key} {name} failed: {type(exc).__name__}: {exc}") from exc
    if returned is not None and not isinstance(returned, expected):
        raise ConfigError(f"{key} {name} returned {type(returned).__name__}, expected {expected.__name__} or None")
    return returned


def _import_hook(name: str, key: str) -> Callable[..., object]:
    """Return the function that `module:function` names. Raises ConfigError."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigError(f"{key}: cannot find {name!r}: {exc}; expected module:function on the Python path") from exc
    if not callable(found):
        raise ConfigError(f"{key}: {name!r} is {type(found).__name__}, expected a function")
    return found  # type: ignore[no-any-return]
