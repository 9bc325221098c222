"""Loading takes no second copy in memory: the peak of the process against the size of the file.

At full size by hand, with 12 GB of disk and 14 GB of memory to spare:
VOID_BRIDGE_FULL_SIZE_DIR=/somewhere pytest tests/void/test_void_checkpoint_memory.py
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install void-bridge[void]")

from gpu_server.engines.void.checkpoint import loading
from gpu_server.engines.void.checkpoint.layout import pass_name
from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG, Config, transformer_shapes
from gpu_server.engines.void.random_checkpoints import full_size
from gpu_server.engines.void.random_checkpoints.configs import as_json

SMALL = {**FULL_CONFIG, "num_attention_heads": 16, "num_layers": 4}
"""170 MB."""
FULL_SIZE = os.environ.get("VOID_BRIDGE_FULL_SIZE_DIR", "")
PEAK = Path("/proc/self/status")
PLACES = {"keep": loading.keep_mapped, "copy": lambda _, tensor: tensor.clone()}

pytestmark = pytest.mark.skipif(not PEAK.exists(), reason="only Linux tells the peak memory of a process")


def peak_growth(load: Callable[[], object]) -> int:
    """Return the bytes by which the peak of this process's memory exceeds its level before `load`."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from now
    before = read_bytes("VmRSS")
    kept = load()
    growth = read_bytes("VmHWM") - before
    assert kept is not None
    return growth


def read_bytes(field: str) -> int:
    line = next(line for line in PEAK.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def load_and_touch(folder: Path, place: loading.PlaceTensor) -> object:
    model = loading.load_transformer(folder, 1, place)
    for parameter in model.parameters():
        parameter.flatten()[::1024].sum()  # one value of every page
    return model


def written(folder: Path, config: Config) -> int:
    (folder / "transformer").mkdir(parents=True, exist_ok=True)
    (folder / "transformer/config.json").write_bytes(as_json(config))
    full_size.write_random(folder / pass_name(1), transformer_shapes(config, 48), seed=1)
    return (folder / pass_name(1)).stat().st_size


def small_growth(folder: Path, place: str) -> int:
    loading._GROUP_BYTES = 16_000_000
    return peak_growth(lambda: load_and_touch(folder, PLACES[place]))


@pytest.mark.parametrize("place", PLACES)
def test_loading_holds_one_copy_at_its_peak(tmp_path: Path, place: str) -> None:
    """Run in a process of its own, as memory that other tests have freed would be reused unseen."""
    size = written(tmp_path, SMALL)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        growth = fresh.submit(small_growth, tmp_path, place).result()
    assert 0.8 * size < growth < 1.3 * size


@pytest.mark.skipif(not FULL_SIZE, reason="a manual test: set VOID_BRIDGE_FULL_SIZE_DIR to a folder with 12 GB free")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("place", PLACES)
def test_loading_holds_one_copy_at_full_size(place: str) -> None:
    folder = Path(FULL_SIZE)
    try:
        size = written(folder, FULL_CONFIG)
        growth = peak_growth(lambda: load_and_touch(folder, PLACES[place]))
    finally:
        (folder / pass_name(1)).unlink(missing_ok=True)
    sys.stdout.write(f"{place}: a file of {size:,} bytes, the peak grew by {growth:,}\n")
    assert read_bytes("VmHWM") < size + 2_000_000_000
