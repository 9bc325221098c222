"""Ingest of a movie, or a VOID sample folder, as EXR sequences and a job.json.

DIR/plate/plate.1001.exr        half RGB, linear, in the working space
DIR/quadmask/quadmask.1001.exr  half Y, the mask's luma / 255
DIR/job.json                    if there is a quadmask; it delivers to DIR/clean/clean.####.exr
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, zip_longest
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.bounded_map import bounded_map
from void_bridge.errors import FrameRangeError, InputError, OutputError, SizeMismatch
from void_bridge.frames import FrameRange
from void_bridge.job import JOB_FILE_NAME, Colour, Job, JobFile, MatteSource
from void_bridge.pixels.colour import from_encoded_srgb, interop_id
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.movie import MovieInfo, probe_movie, read_luma, read_rgb
from void_bridge.processes import available_cores
from void_bridge.sequence import Sequence

FIRST_FRAME = 1001

Size = Tuple[int, int]
Pixels = Tuple[NDArray[np.float32], Optional[NDArray[np.uint8]]]


@dataclass(frozen=True)
class IngestSource:
    """The files to ingest.

    Attributes:
        plate: the movie.
        quadmask: the movie of its quadmask; None if there is none.
        prompt: the prompt that comes with it.
    """

    plate: Path
    quadmask: Optional[Path] = None
    prompt: str = ""


def find_source(path: Path, quadmask: Optional[Path] = None) -> IngestSource:
    """Return the files of a sample folder, or a movie.

    Args:
        path: the folder or the movie.
        quadmask: a quadmask that is used in place of the folder's.

    Raises:
        InputError: no input_video.mp4, several quadmasks, or an unreadable prompt.json.
    """
    if not path.is_dir():
        return IngestSource(path, quadmask)
    plate = path / "input_video.mp4"
    if not plate.is_file():
        raise InputError(f"got {path} without input_video.mp4, expected a VOID sample folder or a movie")
    found = sorted(path.glob("*quadmask*.mp4"))
    if len(found) > 1 and not quadmask:
        raise InputError(f"got {len(found)} quadmasks in {path}; choose one with --quadmask {found[0]}")
    return IngestSource(plate, quadmask or (found[0] if found else None), _prompt(path / "prompt.json"))


def _prompt(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["bg"]).strip()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f'cannot read {path}: {exc!r}; expected {{"bg": "what is behind the object"}}') from exc


def ingest(
    source: IngestSource,
    folder: Path,
    colour: Colour,
    *,
    size: Optional[Size] = None,
    frames: Optional[FrameRange] = None,
    overwrite: bool = False,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> Tuple[FrameRange, Optional[JobFile]]:
    """Write a source as EXR sequences.

    The movie is read as sRGB, display-referred, with BT.709 primaries. Its plate is resized in linear light,
    area-averaged; the quadmask takes the nearest pixel, so that it keeps its values.

    Args:
        source: the files.
        folder: the folder to write to.
        colour: the working space.
        size: width and height to resize to. None: as the movie is.
        frames: frames to write; the first frame of the movie is 1001. None: all.
        overwrite: whether files of an earlier ingest are replaced.
        on_frame: called with the frames done and their count, which is 0 if the movie does not state it.

    Returns:
        The frames written, and the job in job.json: None without a quadmask, since then nothing says what to remove.

    Raises:
        UnreadableFile, SizeMismatch, FrameRangeError, ColourError, OutputError, DiskFull.
    """
    _refuse_used(folder, overwrite)
    info = probe_movie(source.plate)
    wanted = frames or (FrameRange(range(FIRST_FRAME, FIRST_FRAME + info.frames)) if info.frames else None)
    writer = _FrameWriter(folder, colour, info, size or (info.width, info.height))
    written = []
    workers = min(4, available_cores())
    with ThreadPoolExecutor(workers) as pool:
        for number in bounded_map(pool, workers + 1, writer.write, _numbered(source, frames)):
            written.append(number)
            on_frame(len(written), len(wanted) if wanted else 0)
    absent = sorted(set(frames or ()) - set(written))
    if absent:
        raise FrameRangeError(f"got frames {FrameRange(absent)}, which {source.plate} doesn't have; its first is 1001")
    done = FrameRange(written)
    return done, _job_file(source, folder, done, colour) if source.quadmask else None


def _refuse_used(folder: Path, overwrite: bool) -> None:
    used = [*folder.glob("plate/*.exr"), *folder.glob("quadmask/*.exr"), *folder.glob(JOB_FILE_NAME)]
    if used and not overwrite:
        raise OutputError(f"{used[0]} already exists; choose another folder with -o, or give --overwrite")


def _numbered(source: IngestSource, frames: Optional[FrameRange]) -> Iterator[Tuple[int, Pixels]]:
    indices = {frame - FIRST_FRAME for frame in frames} if frames else None
    numbers: Iterator[int] = iter(frames) if frames else count(FIRST_FRAME)
    plates = read_rgb(source.plate, indices)
    if not source.quadmask:
        yield from ((number, (rgb, None)) for number, rgb in zip(numbers, plates))
        return
    for rgb, mask in zip_longest(plates, read_luma(source.quadmask, indices)):
        number = next(numbers)
        if rgb is None or mask is None:
            shorter, longer = (source.plate, source.quadmask) if rgb is None else (source.quadmask, source.plate)
            raise SizeMismatch(f"{shorter} has no frame {number}, {longer} has; give --frames to use fewer")
        yield number, (rgb, mask)


@dataclass(frozen=True)
class _FrameWriter:
    folder: Path
    colour: Colour
    info: MovieInfo
    size: Size

    def write(self, numbered: Tuple[int, Pixels]) -> int:
        """Write a frame and return its number."""
        number, (rgb, mask) = numbered
        linear = _resized(from_encoded_srgb(rgb, self.colour), self.size).astype(np.float16)
        header = {**self._header(), **interop_id(self.colour)}
        planes = {name: np.ascontiguousarray(linear[..., i]) for i, name in enumerate("RGB")}
        write_simple(_sequence(self.folder, "plate").path(number), planes, header=header)
        if mask is not None:
            nearest = cv2.resize(mask, self.size, interpolation=cv2.INTER_NEAREST_EXACT)
            plane = (nearest / np.float32(255)).astype(np.float16)
            write_simple(_sequence(self.folder, "quadmask").path(number), {"Y": plane}, header=self._header())
        return number

    def _header(self) -> Dict[str, Any]:
        stretch = (self.info.width / self.size[0]) / (self.info.height / self.size[1])
        aspect = round(float(self.info.pixel_aspect) * stretch, 6)
        return {"framesPerSecond": self.info.rate, "pixelAspectRatio": aspect}


def _resized(rgb: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.float32)


def _sequence(folder: Path, name: str) -> Sequence:
    return Sequence.parse(str(folder / name / f"{name}.####.exr")).absolute()


def _job_file(source: IngestSource, folder: Path, frames: FrameRange, colour: Colour) -> JobFile:
    job = Job(
        plate=_sequence(folder, "plate").pattern,
        frames=frames,
        output=_sequence(folder, "clean").pattern,
        colour=colour,
        quadmask=MatteSource(_sequence(folder, "quadmask").pattern),
        prompt=source.prompt,
    )
    job_file = JobFile(job)
    job_file.write(folder / JOB_FILE_NAME)
    return job_file
