"""Optical flow: direction, size, threads, and the message where RAFT is missing."""

from __future__ import annotations

import sys
import types
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from gpu_server.engines.void.flow import FLOWS, DenseInverseSearch, make_flow
from void_bridge.errors import UsageError

HEIGHT, WIDTH = 128, 192


def textured(seed: int = 0) -> np.ndarray:
    spots = np.random.default_rng(seed).random((HEIGHT, WIDTH, 3), np.float32)
    soft = cv2.GaussianBlur(spots, (0, 0), 3)
    return (soft - soft.min()) / (soft.max() - soft.min())


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@pytest.fixture
def opencv_threads():
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.fixture
def no_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)


@pytest.mark.parametrize("name", [*FLOWS, "auto"])
@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -2.0), (-1.4, 2.3)])
def test_flow_points_from_the_first_image_to_the_second_in_pixels(name, shift):
    try:
        flow = make_flow(name)
    except UsageError as missing:
        pytest.skip(missing.message)
    here = textured()
    found = flow.between(here, moved(here, *shift))
    assert found.shape == (HEIGHT, WIDTH, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.median(found[16:-16, 16:-16], axis=(0, 1)), shift, atol=0.15)


def test_the_number_of_threads_does_not_change_the_flow(opencv_threads):
    here, there = textured(), moved(textured(), 4.3, 1.1)
    found = []
    for threads in (1, 2, 5):
        opencv_threads(threads)
        found.append(DenseInverseSearch().between(here, there).tobytes())
    assert len(set(found)) == 1


def test_one_flow_may_be_shared_between_threads():
    flow = DenseInverseSearch()
    pairs = [(textured(seed), moved(textured(seed), seed, -seed)) for seed in range(6)]
    alone = [flow.between(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: flow.between(*pair), pairs))
    np.testing.assert_array_equal(together, alone)


def test_nan_and_infinity_give_a_finite_flow():
    here = textured()
    here[20:40, 20:40] = np.nan
    here[60:70] = np.inf
    here[80:90] = -np.inf
    assert np.isfinite(DenseInverseSearch().between(here, textured(1))).all()


def test_an_unknown_flow_is_refused():
    with pytest.raises(UsageError, match=r"farneback.*dis, raft, auto"):
        make_flow("farneback")


def test_raft_without_torchvision_says_what_to_install(no_torchvision):
    with pytest.raises(UsageError, match=r"torchvision.*install.*--flow dis"):
        make_flow("raft")


def test_auto_is_dis_without_torchvision(no_torchvision):
    assert make_flow("auto").name == "dis"


@pytest.fixture
def stub_torchvision(monkeypatch, tmp_path):
    """Provide a torchvision whose RAFT models return the mean of each image, and a folder for their weights."""
    torch = pytest.importorskip("torch", reason="RAFT needs the extra [void]")

    class Means(torch.nn.Module):
        def forward(self, here, there):
            assert here.shape == there.shape and here.shape[2] % 8 == here.shape[3] % 8 == 0
            return [None, torch.stack([image[:, :, :128, :128].mean(dim=1) for image in (here, there)], dim=1)]

    models = types.ModuleType("torchvision.models.optical_flow")
    for size in ("large", "small"):
        weights = types.SimpleNamespace(DEFAULT=types.SimpleNamespace(url=f"https://example.com/raft_{size}.pth"))
        setattr(models, f"Raft_{size.capitalize()}_Weights", weights)
        setattr(models, f"raft_{size}", Means)
    package = types.ModuleType("torchvision.models")
    package.optical_flow = models
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", package)
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", models)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "checkpoints").mkdir()
    return lambda size: torch.save({}, tmp_path / "checkpoints" / f"raft_{size}.pth")


def test_raft_without_weights_says_where_to_put_them(stub_torchvision):
    with pytest.raises(UsageError, match=r"raft_large.pth there, or use --flow dis"):
        make_flow("raft")


def test_raft_gives_a_flow_of_the_images_size_from_clipped_and_padded_images(stub_torchvision):
    stub_torchvision("small")
    flow = make_flow("auto")
    here, there = np.full((100, 90, 3), 2.0, np.float32), np.full((100, 90, 3), np.nan, np.float32)
    found = flow.between(here, there)
    assert (flow.name, flow.uses_device) == ("raft", False)
    assert found.shape == (100, 90, 2) and found.dtype == np.float32
    assert (found == (1, -1)).all(), "2 is clipped to white, NaN is black; both are scaled to [-1, 1]"
