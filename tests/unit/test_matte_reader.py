import numpy as np
import pytest

from void_bridge.errors import NoSuchChannel
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import write_simple
from void_bridge.pixels.mattes import matte_box
from void_bridge.pixels.shot import MatteReader, named_path

FORMAT = Box(0, 0, 20, 30)
RASTER = Box(-5, -5, 25, 35)  # a plate with overscan


def reader(folder, **mattes):
    sources = {role: MatteSource.from_argument(f"{folder}/{text}") for role, text in mattes.items()}
    job = Job(f"{folder}/plate.####.exr", FrameRange([7]), "out.####.exr", Colour("linear", "ocio://x"), **sources)
    return MatteReader(job, RASTER, FORMAT, named_path)


def test_layers_of_one_file_become_planes_over_the_raster(tmp_path):
    window = Box(2, 3, 6, 9)
    layers = {
        f"void_bridge.{role}": np.full(window.shape, value, np.float16)
        for role, value in (("remove", 1), ("keep", 0.5))
    }
    write_simple(tmp_path / "mattes.0007.exr", layers, display_window=FORMAT, data_window=window)
    read = reader(tmp_path, remove="mattes.####.exr:void_bridge.remove", keep="mattes.####.exr:void_bridge.keep")
    decoded = {}
    planes = read.planes(7, decoded)
    assert matte_box(planes.remove) == Box(7, 8, 11, 14) and planes.keep.max() == 0.5
    assert planes.affected is None and len(decoded) == 1


def test_a_quadmask_combines_with_a_keep_matte(tmp_path):
    write_simple(tmp_path / "quad.0007.exr", {"Y": np.full(FORMAT.shape, 63 / 255, np.float16)})
    write_simple(tmp_path / "keep.0007.exr", {"A": np.ones(FORMAT.shape, np.float16)})
    planes = reader(tmp_path, quadmask="quad.####.exr", keep="keep.####.exr").planes(7)
    for plane in (planes.remove, planes.affected, planes.keep):
        assert matte_box(plane) == FORMAT.relative_to(RASTER)


def test_a_missing_channel_names_role_and_file(tmp_path):
    write_simple(tmp_path / "roto.0007.exr", {"A": np.ones(FORMAT.shape, np.float16)})
    with pytest.raises(NoSuchChannel, match=r"remove matte .*roto\.0007\.exr"):
        reader(tmp_path, remove="roto.####.exr:holdout").planes(7)
