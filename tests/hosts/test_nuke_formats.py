"""Plates as productions have them, through a Nuke node: stereo, proxy, anamorphic, overscan, float; every version."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.hosts.fake_nuke.terminal import write_executable
from tests.hosts.nuke_comp import LAST_S, V1, Comp, read_of
from tests.hosts.nuke_plugin import started
from tests.hosts.shots_on_disk import FRAMES, HEIGHT, WIDTH, make_footage
from void_bridge.job import JobFile
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import read_frame
from void_bridge.sequence import Sequence

pytestmark = pytest.mark.slow

FRAME = FRAMES[3]


@pytest.fixture
def comp(served, footage, tmp_path):
    with started() as (fake, plugin):
        yield Comp(fake, plugin, footage, tmp_path)


def exported(comp, name):
    """Return the first frame of an export."""
    (folder,) = comp.folder.glob(f"void/exports/{name}_*")
    return read_frame(next(iter(sorted(folder.iterdir()))))


@pytest.mark.parametrize("version", [14, 16])
def test_other_versions_of_nuke_show_the_result(served, footage, tmp_path, version):
    with started(version=version) as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.submit()
        assert np.array_equal(fake.render(comp.node, FRAME).rgb(), comp.delivered(V1, FRAME))


def test_stereo_is_one_job_for_each_chosen_view(served, footage, tmp_path):
    right = make_footage(tmp_path / "right")
    with started() as (fake, plugin):
        for view in ("left", "right"):
            fake.nuke.addView(view)
        fake.nuke.deleteView("main")
        comp = Comp(fake, plugin, footage, tmp_path)
        assert list(fake.nuke.views()) == ["left", "right"]
        views = fake.nuke.nodes.JoinViews(inputs=[comp.plate, read_of(fake.nuke, right.plate)])
        comp.node.setInput(0, views)
        comp.node["views"].setValue("left right")
        comp.submit()
        for view in ("left", "right"):
            job = JobFile.read(comp.folder / "void" / V1 / view / "job.json").job
            assert f"/{view}/" in job.output
            channels = read_frame(Sequence.parse(job.output).path(FRAME)).picture.channels
            delivered = np.stack([channels[name] for name in "RGB"], -1).astype(np.float32)
            assert np.array_equal(fake.render(comp.node, FRAME, view).rgb(), delivered)
        assert "%V" in comp.node.node("result")["file"].value()


def test_one_view_of_two_never_covers_the_other(served, footage, tmp_path):
    with started() as (fake, plugin):
        for view in ("left", "right"):
            fake.nuke.addView(view)
        fake.nuke.deleteView("main")
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.submit()
        assert fake.render(comp.node, FRAME, "left").rgb().max() > 0
        with pytest.raises(RuntimeError, match="right"):
            fake.render(comp.node, FRAME, "right")


def test_proxy_mode_changes_nothing_that_is_sent(comp):
    comp.node["own_files"].setValue(False)
    root = comp.nuke.root()
    root["proxy"].setValue(True)
    root["proxy_scale"].setValue(0.5)
    comp.submit()
    assert root["proxy"].value() is True
    root["proxy"].setValue(False)
    assert exported(comp, "plate").picture.data_window == Box(0, 0, HEIGHT, WIDTH)
    assert np.array_equal(comp.fake.render(comp.node, FRAME).rgb(), comp.delivered(V1, FRAME))


def test_anamorphic_overscan_and_float_plates_are_kept(served, tmp_path):
    footage = make_footage(tmp_path / "shot", pixel_aspect=2.0, overscan=6, dtype=np.float32)
    with started() as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        fake.nuke.root()["format"].setValue(f"{WIDTH - 12} {HEIGHT - 12} 2 wide")
        comp.node["own_files"].setValue(False)
        comp.submit()
        plate = exported(comp, "plate").picture
        assert plate.channels["R"].dtype == np.float32 and plate.pixel_aspect == 2.0
        assert plate.data_window == Box(-6, -6, HEIGHT - 6, WIDTH - 6)
        assert plate.display_window == Box(0, 0, HEIGHT - 12, WIDTH - 12)
        result = read_frame(comp.folder / "void" / V1 / f"{V1}.{FRAME}.exr").picture
        assert (result.data_window, result.pixel_aspect) == (plate.data_window, 2.0)
        window = (-6, -6, WIDTH - 6, HEIGHT - 6)
        red = fake.render(comp.node, FRAME).plane("rgba.red", window)
        assert np.array_equal(red, comp.delivered(V1, FRAME)[..., 0])


def test_the_plates_own_files_keep_their_colour_space(comp):
    root = comp.nuke.root()
    root["colorManagement"].setValue("OCIO")
    root["OCIO_config"].setValue("custom")
    root["customOCIOConfigPath"].setValue("ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4")
    root["workingSpaceLUT"].setValue("ACEScg")
    comp.plate["colorspace"].setValue("ACES2065-1")
    comp.submit()
    job = JobFile.read(comp.folder / "void" / V1 / "job.json").job
    assert job.colour.space == "ACES2065-1" and comp.node.node("result")["colorspace"].value() == "ACES2065-1"
    assert not comp.node.node("result")["raw"].value()
    comp.node["own_files"].setValue(False)
    comp.submit()
    job = JobFile.read(comp.folder / "void" / V1.replace("v001", "v002") / "job.json").job
    assert job.colour.space == "ACEScg" and comp.node.node("result")["raw"].value()


def test_a_space_that_the_servers_config_does_not_know_fails_the_job(comp):
    comp.node["colorspace"].setValue("ARRI Reveal")
    comp.press("submit")
    comp.fake.pump(lambda: "failed" in comp.node["label"].value(), LAST_S)
    assert "ARRI Reveal" in comp.status() and "is not in" in comp.status()


@pytest.mark.skipif(sys.platform == "win32", reason="the fake's executable is a shell script")
def test_a_second_nuke_writes_the_export(served, footage, tmp_path):
    with started(executable=write_executable(tmp_path)) as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.node["own_files"].setValue(False)
        comp.node["background"].setValue("interactive licence (nuke_i)")
        comp.press("submit")
        assert "second Nuke" in comp.status() and fake.written == []
        assert fake.nuke.allNodes("Write", recurseGroups=True) == []
        comp.wait("done")
        assert np.array_equal(fake.render(comp.node, FRAME).rgb(), comp.delivered(V1, FRAME))


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a slow Nuke is a shell script")
def test_an_export_in_a_second_nuke_is_cancelled(served, footage, tmp_path):
    slow = tmp_path / "SlowNuke"
    slow.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    slow.chmod(0o755)
    with started(executable=str(slow)) as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.node["background"].setValue("render licence (nuke_r)")
        comp.press("submit")
        comp.press("submit")
        assert "second Nuke is still writing" in fake.messages.pop()
        comp.press("cancel")
        fake.pump(lambda: "export cancelled" in comp.status().lower(), LAST_S)
        assert fake.messages == [] and comp.node["void_bridge_state"].value() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="the fake's executable is a shell script")
def test_what_changes_during_a_background_export_makes_its_result_stale(served, footage, tmp_path):
    with started(executable=write_executable(tmp_path)) as (fake, plugin):
        comp = Comp(fake, plugin, footage, tmp_path)
        comp.node["background"].setValue("render licence (nuke_r)")
        comp.press("submit")
        fake.user_sets(comp.node["feather"], 9)
        comp.wait("done")
        assert "stale" in comp.node["label"].value()


def test_a_second_nuke_that_does_not_start_is_reported(comp):
    comp.node["background"].setValue("render licence (nuke_r)")
    comp.press("submit")
    assert "annot start /usr/local/Nuke17.0v1/Nuke17.0" in comp.fake.messages[0]
