"""The files that a farm job reads and the folders that it writes, listed before anything is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Sequence, Tuple

from host_plugins.farm.shots import FarmShot
from void_bridge.client.inputs import describe_files, input_paths
from void_bridge.client.output import output_folder
from void_bridge.errors import InputError
from void_bridge.job import Job
from void_bridge.real_paths import is_within

_SHOWN = 6


@dataclass(frozen=True)
class Assets:
    """The files and folders of a farm job.

    Attributes:
        inputs: files that are read, each once.
        outputs: folders that are written.
        bytes: size of the inputs.
    """

    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    bytes: int

    @property
    def paths(self) -> Tuple[str, ...]:
        """Every path that the farm's workers have to see."""
        return (*self.inputs, *self.outputs)

    def lines(self) -> Tuple[str, ...]:
        """Return the list as lines for a person to read."""
        counts: dict[str, int] = {}
        for path in self.inputs:
            folder = os.path.dirname(path)  # noqa: PTH120  keeps the path as it was named
            counts[folder] = counts.get(folder, 0) + 1
        size = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e9 else f"{self.bytes / 1e6:.1f} MB"
        found = [f"{len(self.inputs)} files, {size}, are read:"]
        found += [f"  {count} in {folder}" for folder, count in list(counts.items())[:_SHOWN]]
        if len(counts) > _SHOWN:
            found.append(f"  and in {len(counts) - _SHOWN} more folders")
        found.append("Frames are written to:")
        found += [f"  {folder}" for folder in self.outputs[:_SHOWN]]
        if len(self.outputs) > _SHOWN:
            found.append(f"  and {len(self.outputs) - _SHOWN} more folders")
        return tuple(found)


def assets_of(shots: Iterable[FarmShot]) -> Assets:
    """Return the files and folders of some shots.

    Raises:
        MissingFrames: a frame of a plate or a matte is not on disk.
        UnreadableFile: a file cannot be read.
    """
    jobs = [shot.job for shot in shots]
    inputs = tuple(dict.fromkeys(path for job in jobs for path in (*input_paths(job), *_config_file(job))))
    outputs = tuple(dict.fromkeys(str(output_folder(job)) for job in jobs))
    return Assets(inputs, outputs, sum(file.size for file in describe_files(inputs)))


def check_roots(paths: Iterable[str], roots: Sequence[str]) -> None:
    """Check that paths are in the folders that the farm's workers see.

    Args:
        paths: files or folders.
        roots: the folders that workers see; empty allows any path.

    Raises:
        InputError: a path is outside.
    """
    if not roots:
        return
    allowed = [os.path.realpath(root) for root in roots]
    for path in paths:
        if not any(is_within(os.path.realpath(path), root) for root in allowed):
            raise InputError(
                f"{path} is outside the folders that the farm's workers see ({', '.join(roots)}); move it there, or "
                "add its folder to farm_roots"
            )


def _config_file(job: Job) -> List[str]:
    config = job.colour.config
    return [] if config.startswith("ocio://") or not Path(config).is_file() else [config]
