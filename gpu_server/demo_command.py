"""`void-bridge demo`: the whole loop on synthetic footage, with a report in figures and a contact sheet."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from gpu_server import picture_quality
from gpu_server.footage import Scene
from gpu_server.private_server import private_server
from void_bridge.cli.command import Command, add_json_option, number_in
from void_bridge.cli.main import main as command_line
from void_bridge.client.launch import child_environment
from void_bridge.config import Config
from void_bridge.errors import EngineError, UsageError
from void_bridge.pixels.box import Box
from void_bridge.pixels.contact_sheet import contact_sheet
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.pixels.matte_preview import overlay
from void_bridge.pixels.mattes import MattePlanes
from void_bridge.resolution import Resolution
from void_bridge.sequence import Sequence

FIRST_FRAME = 1001
SPACE = "Linear Rec.709 (sRGB)"
"""A colour space of the built-in config: the footage is made in its primaries."""


@dataclass(frozen=True)
class DemoSequences:
    """The sequences of the demo.

    Attributes:
        out: the folder that holds them.
    """

    out: Path

    @property
    def plate(self) -> Sequence:
        """The plate with the object."""
        return Sequence.parse(str(self.out / "plate" / "plate.####.exr"))

    @property
    def matte(self) -> Sequence:
        """The mattes, as layers."""
        return Sequence.parse(str(self.out / "roto" / "roto.####.exr"))

    @property
    def result(self) -> Sequence:
        """The clean plate."""
        return Sequence.parse(str(self.out / "clean" / "clean.####.exr"))


def _configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--out", type=Path, default=Path("void_demo"), metavar="DIR", help="folder to create")
    parser.add_argument(
        "--size", default="960x540", metavar="WIDTHxHEIGHT", help="size of the footage (default: %(default)s)"
    )
    parser.add_argument(
        "--length", type=number_in(int, 1), default=24, metavar="N", help="number of frames (default: %(default)s)"
    )
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    """Make footage, remove its object through a server, and report on the result."""
    console = Console(stderr=True)
    width, height = Resolution.parse(args.size)
    if min(width, height) < 32 or max(width, height) > 8192:
        raise UsageError(f"got size {args.size}, expected from 32x32 to 8192x8192")
    scene = Scene("pan_zoom_rotation", height, width, args.length, seed=1)
    sequences = DemoSequences(args.out.absolute())
    for folder in ("plate", "roto", "clean"):
        shutil.rmtree(sequences.out / folder, ignore_errors=True)
    console.print(f"rendering {args.length} frames of {args.size} HDR footage to {sequences.out}")
    _write_footage(scene, sequences)
    code = _remove(sequences)
    if code:
        log = sequences.out / "server"
        raise EngineError(f"the demo's job ended with exit code {code}; the server's log is in {log}")
    report = _report(scene, sequences)
    (sequences.out / "report.md").write_text(report, encoding="utf-8")
    _write_sheet(scene, sequences)
    console.print(report, markup=False, highlight=False)
    console.print(f"compare the frames in {sequences.out / 'contact_sheet.png'}", soft_wrap=True)
    args.outcome.set_without_job(state="done", folder=str(sequences.out), output=sequences.result.pattern)
    return 0


def _write_footage(scene: Scene, sequences: DemoSequences) -> None:
    """Write plate and mattes as half EXR."""

    def write(index: int) -> None:
        frame = scene.frame(index)
        window = Box(0, 0, scene.height, scene.width)
        header = {"framesPerSecond": Fraction(24, 1)}
        half = {name: _half(frame.plate[..., axis]) for axis, name in enumerate("RGB")}
        half["A"] = np.ones(window.shape, np.float16)
        _write(sequences.plate, index, half, window, header)
        mattes = {"void_bridge.remove": _half(frame.remove), "void_bridge.affected": _half(frame.affected)}
        _write(sequences.matte, index, mattes, window, header)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(scene.frames)))


def _write(sequence: Sequence, index: int, channels: dict, window: Box, header: dict) -> None:
    """Write one frame."""
    path = sequence.path(FIRST_FRAME + index)
    write_frame(ExrFrame((ExrPart(channels, window, window, header=dict(header)),)), path)


def _half(plane: np.ndarray) -> np.ndarray:
    """Return a plane, shape [H, W], as contiguous float16."""
    return np.ascontiguousarray(plane, dtype=np.float16)


def _remove(sequences: DemoSequences) -> int:
    """Run `void-bridge remove` against a server of the demo's own, and return its exit code."""
    words = ["remove", str(sequences.plate), "-o", str(sequences.result), "--colorspace", SPACE]
    words += ["--engine", "propagate"]
    for role in ("remove", "affected"):
        words += [f"--{role}", f"{sequences.matte}:void_bridge.{role}"]
    with private_server(sequences.out / "server") as server, _environment(server.config):
        return command_line(words)


@contextmanager
def _environment(config: Config) -> Iterator[None]:
    """Set the environment variables of a configuration."""
    before = dict(os.environ)
    os.environ.update(child_environment(config))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _scores(scene: Scene, sequences: DemoSequences, index: int) -> tuple[float, float, int]:
    """Return the PSNR of a frame inside the matte, that of OpenCV's inpainting, and the values changed outside."""
    frame = scene.frame(index)
    both = (sequences.plate, sequences.result)
    plate, result = (read_frame(sequence.path(FIRST_FRAME + index)).parts[0].channels for sequence in both)
    hole = np.maximum(frame.remove, frame.affected) > 0.01
    inpainted = picture_quality.inpainted(_rgb(plate), hole)
    changed = sum(int(np.count_nonzero((plate[c] != result[c]) & (result["void_bridge.paste"] == 0))) for c in "RGBA")
    return (
        picture_quality.psnr(_rgb(result), frame.background, hole),
        picture_quality.psnr(inpainted, frame.background, hole),
        changed,
    )


def _rgb(channels: dict[str, np.ndarray]) -> np.ndarray:
    """Return the channels R, G and B as one picture, shape [H, W, 3], float32."""
    return np.stack([channels[c].astype(np.float32) for c in "RGB"], -1)


def _report(scene: Scene, sequences: DemoSequences) -> str:
    """Return the figures as Markdown."""
    scores = (_scores(scene, sequences, index) for index in range(0, scene.frames, 4))
    result_db, inpainted_db, changed = zip(*scores, strict=True)
    highlight = max(float(scene.frame(i).background.max()) for i in (0, scene.frames - 1))
    return (
        f"# VOID Bridge demo: {scene.frames} frames, {scene.width}x{scene.height}, camera {scene.camera}\n\n"
        "| inside the matte, against the known background | PSNR, display-encoded |\n|---|---|\n"
        f"| void-bridge, engine propagate | {np.mean(result_db):.1f} dB |\n"
        f"| OpenCV inpainting, frame by frame | {np.mean(inpainted_db):.1f} dB |\n\n"
        f"Pixels of R, G, B or A changed where the paste matte is 0: {sum(changed)}.\n"
        f"Brightest background value: {highlight:.1f}. Every 4th frame was measured.\n"
    )


def _write_sheet(scene: Scene, sequences: DemoSequences) -> None:
    """Write the contact sheet: plate, mattes, result and background of four frames."""
    indices = [round(share * (scene.frames - 1)) for share in (0, 0.33, 0.67, 1)]
    rows: dict[str, list[np.ndarray]] = {"plate": [], "matte": [], "result": [], "background": []}
    for index in indices:
        frame = scene.frame(index)
        plate = picture_quality.display_u8(frame.plate)
        rows["plate"].append(plate)
        planes = MattePlanes(frame.remove.shape, remove=frame.remove, affected=frame.affected)
        rows["matte"].append(overlay(plate, planes))
        result = read_frame(sequences.result.path(FIRST_FRAME + index)).parts[0].channels
        rows["result"].append(picture_quality.display_u8(_rgb(result)))
        rows["background"].append(picture_quality.display_u8(frame.background))
    sheet = contact_sheet(rows, [str(FIRST_FRAME + i) for i in indices])
    cv2.imwrite(str(sequences.out / "contact_sheet.png"), sheet[:, :, ::-1])


COMMAND = Command(
    "demo", "render a test shot, remove its object through a server, and measure the result", _configure, _run
)
