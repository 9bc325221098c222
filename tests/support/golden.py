"""Golden results: a small shot, the recorded results of the engines, and the difference between two results.

python -m tests.support.golden        print how far other builds and thread counts on this machine are from the record
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.footage import Scene
from tests.support.shots import COLOUR, files_of, run_job
from void_bridge.frames import FrameRange
from void_bridge.job import Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, write_frame
from void_bridge.sequence import Sequence

FOLDER = Path(__file__).parents[1] / "golden/results"
FRAMES = range(1001, 1007)
SCENE = Scene("pan", 48, 64, len(FRAMES), seed=6, object_size=0.3)
OPTIONS: dict[str, dict[str, object]] = {
    "propagate": {},
    "void": {"canvas": "48x64", "steps": 2, "passes": "2", "prompt": "an empty table"},
}
CHECKPOINT_SEED = 6
_TOE = 0.05  # linear; below it differences count as such, above it as a share

Half = NDArray[np.float16]

ELSEWHERE: dict[str, dict[str, str]] = {
    "as here": {},
    "4 threads": {"GOLDEN_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"},
    "OpenCV without AVX2 and AVX-512": {"OPENCV_CPU_DISABLE": "AVX2,FMA3,AVX512F,AVX512-SKX"},
    "OpenCV without SSE4 and later": {"OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,FMA3,AVX512F,AVX512-SKX"},
    "OpenBLAS for Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "numpy without AVX2 and AVX-512": {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX"},
    "torch without vector code": {"ATEN_CPU_CAPABILITY": "default"},
    "torch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "MKL and oneDNN for SSE4": {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
"""What differs between machines and builds, as far as it can be asked for here."""


def recorded(name: str) -> dict[str, NDArray[Any]]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as held:
        return {key: held[key] for key in held.files}


def record(name: str, **arrays: NDArray[np.generic]) -> None:
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)  # type: ignore[arg-type]


def made_shot() -> dict[str, Half]:
    """Return today's footage: plate, shape [T, H, W, 3]; remove and affected, shape [T, H, W]."""
    made = [SCENE.frame(index) for index in range(len(FRAMES))]
    names = ("plate", "remove", "affected")
    return {name: np.stack([getattr(frame, name) for frame in made]).astype(np.float16) for name in names}


def write_shot(shot: dict[str, Half], folder: Path) -> tuple[Sequence, Sequence]:
    """Write the shot as EXR files: a plate, and its mattes in one sequence."""
    plate, mattes = (Sequence.parse(str(folder / f"{name}.####.exr")) for name in ("plate", "mattes"))
    window = Box(0, 0, *shot["plate"].shape[1:3])
    for index, frame in enumerate(FRAMES):
        rgb = {name: np.ascontiguousarray(shot["plate"][index, ..., axis]) for axis, name in enumerate("RGB")}
        write_frame(ExrFrame((ExrPart(rgb, window, window),)), plate.path(frame))
        roles = {role: np.ascontiguousarray(shot[role][index]) for role in ("remove", "affected")}
        write_frame(ExrFrame((ExrPart(roles, window, window),)), mattes.path(frame))
    return plate, mattes


def golden_job(engine: str, plate: Sequence, mattes: Sequence) -> Job:
    sources = {role: MatteSource(str(mattes), role) for role in ("remove", "affected")}
    output = "/nowhere/clean.####.exr"
    return Job(str(plate), FrameRange(FRAMES), output, COLOUR, engine=engine, seed=6, **sources, **OPTIONS[engine])  # type: ignore[arg-type]


def made_by(engine: str, folder: Path) -> dict[str, NDArray[Any]]:
    """Return today's result of an engine on the recorded shot.

    Returns:
        pasted: shape [T, H, W], bool. rgb: shape [N, 3], half, those pixels frame by frame.
    """
    plate, mattes = write_shot(recorded("shot"), folder / "shot")
    models = folder / "models"
    if engine == "void":
        write_tiny(models, seed=CHECKPOINT_SEED)
    ended, written, _ = run_job(golden_job(engine, plate, mattes), files_of(plate, mattes), folder, models=models)
    assert ended.state == "done", ended.failure
    parts = [written[frame].parts[0].channels for frame in FRAMES]
    pasted = np.stack([part["void_bridge.paste"] > 0 for part in parts])
    rgb = np.stack([np.stack([part[name] for name in "RGB"], -1) for part in parts])
    return {"pasted": pasted, "rgb": rgb[pasted].astype(np.float16)}


@dataclass(frozen=True)
class Apart:
    """The difference of two results, as a share of the brighter of a pixel and 0.05.

    Attributes:
        typical: root of the mean square.
        most: of 99 in 100 values the largest.
        largest: of all values.
    """

    typical: float
    most: float
    largest: float

    def __str__(self) -> str:
        return f"{self.typical:.2e} {self.most:.2e} {self.largest:.2e}"


def apart(found: Half, expected: Half) -> Apart:
    a, b = found.astype(np.float64), expected.astype(np.float64)
    share = np.abs(a - b) / np.maximum(np.abs(b), _TOE)
    return Apart(float(np.sqrt(np.mean(share**2))), float(np.quantile(share, 0.99)), float(share.max()))


def _child(engine: str, out: Path) -> None:
    import cv2
    import torch

    threads = int(os.environ.get("GOLDEN_THREADS", "1"))
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        np.save(out, made_by(engine, Path(folder))["rgb"])


def elsewhere(engine: str, how: str) -> Half:
    """Return the result of another process that computes in another way."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.npy"
        environment = {**os.environ, **ELSEWHERE[how]}
        words = [sys.executable, "-m", "tests.support.golden", engine, str(out)]
        subprocess.run(words, env=environment, check=True, cwd=Path(__file__).parents[2])
        return np.asarray(np.load(out), np.float16)


def main() -> None:
    if len(sys.argv) == 3:
        _child(sys.argv[1], Path(sys.argv[2]))
        return
    for engine in OPTIONS:
        for how in ELSEWHERE:
            line = {"engine": engine, "how": how, "apart": str(apart(elsewhere(engine, how), recorded(engine)["rgb"]))}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
