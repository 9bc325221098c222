"""The finding about torch: whether it suits driver and cards. It is read from torch's files: an import takes seconds.

Least drivers: NVIDIA's CUDA Compatibility guide, "Minor Version Compatibility", table 1. CUDA 13 makes nothing for
cards below 7.5, and CUDA before 12.8 nothing for 10.0 and later: the release notes of CUDA 13.0 and 12.8.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from gpu_server.findings.nvidia_smi import Card
from void_bridge.cli.findings import Finding

_LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
_BLACKWELL = (10, 0)
_TURING = (7, 5)
_INSTALL = "install void-bridge[void]"


@dataclass(frozen=True)
class TorchBuild:
    """An installed torch.

    Attributes:
        version: its version.
        cuda: version of CUDA that it was built for; None: for another device.
        hip: version of HIP that it was built for; None: for another device.
    """

    version: str
    cuda: str | None = None
    hip: str | None = None

    @property
    def cuda_version(self) -> tuple[int, int]:
        """The version of CUDA as numbers; (0, 0) if there is none."""
        major, _, rest = (self.cuda or "0.0").partition(".")
        minor = rest.partition(".")[0]
        return (int(major) if major.isdecimal() else 0, int(minor) if minor.isdecimal() else 0)


def installed_torch() -> TorchBuild | None:
    """Return the installed torch; None if there is none.

    Raises:
        OSError: its version file cannot be read.
        ValueError: its version file cannot be understood.
    """
    spec = PathFinder.find_spec("torch")  # also where another one has been imported
    if not spec or not spec.origin:
        return None
    values = _constants(ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")))
    return TorchBuild(str(values.get("__version__", "?")), *(_text(values.get(name)) for name in ("cuda", "hip")))


def _constants(tree: ast.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            found[target.id] = value.value
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def torch_finding(cards: Sequence[Card]) -> Finding:
    """Return the finding about torch: whether the installed one can use these cards."""
    try:
        build = installed_torch()
    except (OSError, ValueError, SyntaxError) as exc:
        return Finding("torch", "bad", f"torch is broken: {exc}", f"pip uninstall torch, then {_INSTALL}")
    if build is None:
        if cards:
            return Finding("torch", "note", "not installed: the void engine cannot use the GPU", _INSTALL)
        return Finding("torch", "ok", "not installed; only the void engine needs it")
    if not cards:
        return Finding("torch", "ok", f"{build.version}, {f'for CUDA {build.cuda}' if build.cuda else 'for CPUs'}")
    return _fit_finding(build, cards)


def _fit_finding(build: TorchBuild, cards: Sequence[Card]) -> Finding:
    again = "reinstall torch for a CUDA version that fits (pytorch.org lists the index)"
    if build.hip:
        return Finding("torch", "note", f"{build.version} is for AMD GPUs, which are untested", again)
    if not build.cuda:
        return Finding("torch", "bad", f"{build.version} is for CPUs: the void engine cannot use the GPU", again)
    detail, least = f"{build.version} for CUDA {build.cuda}", _LEAST_DRIVER.get(build.cuda_version[0], 0)
    driver = int(cards[0].driver.partition(".")[0]) if cards[0].driver.partition(".")[0].isdecimal() else least
    if driver < least:
        wrong = f"{detail} needs driver {least} or later, this is {cards[0].driver}"
        return Finding("torch", "bad", wrong, f"update the driver to {least} or later, or {again}")
    for card in cards:
        if card.capability >= _BLACKWELL and build.cuda_version < (12, 8):
            return Finding("torch", "bad", f"{detail} does not support {card.name}, which needs 12.8 or later", again)
        if (0, 0) < card.capability < _TURING and build.cuda_version >= (13, 0):
            return Finding("torch", "bad", f"{detail} does not support {card.name}, which needs CUDA 12", again)
    return Finding("torch", "ok", f"{detail}, which driver {cards[0].driver} can run")
