"""The timeline script in the fake Resolve: the clip under the playhead, its Fusion composition, the media pool."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from host_plugins.resolve import timeline
from host_plugins.resolve.comp_data import jobs_of
from host_plugins.resolve.result import loader_of
from host_plugins.resolve.timeline import clip_info, main, run, script
from tests.hosts.fake_fusion import FakeResolve
from tests.hosts.fake_fusion.exr_files import load
from tests.hosts.fusion_shots import SPACE, matte_of
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.errors import InputError, UsageError
from void_bridge.frames import FrameRange


class Clip:
    """A clip of eight frames with a mask in its composition, whose frames are numbered from 0."""

    def __init__(self, footage) -> None:
        self.fake = FakeResolve()
        self.comp = self.fake.item.AddFusionComp()
        last = len(FRAMES) - 1
        self.comp.attrs.update(COMPN_GlobalStart=0.0, COMPN_GlobalEnd=float(last))
        self.comp.attrs.update(COMPN_RenderStart=0.0, COMPN_RenderEnd=float(last))
        self.comp.regions["MediaIn"] = (0.0, float(last))
        self.source = self.comp.tool("MediaIn1")
        self.fake.draw(self.source, lambda frame: load(footage.plate.path(FRAMES[frame])).rgba, "float16")
        with self.fake.building():
            roto = self.comp.AddTool("PolylineMask", 1, 1)
        self.fake.draw(roto, lambda frame: matte_of(footage.roto)(FRAMES[frame]))
        self.fake.comp = None  # the edit page has no current composition

    @property
    def state(self):
        return next(iter(jobs_of(self.comp).values()), None)


@pytest.fixture
def clip(served, footage):
    return Clip(footage)


def test_the_clip_is_cleaned_and_imported(clip, tmp_path):
    def artist(user):
        assert user.item("tool_plate").entries[user.item("tool_plate").CurrentIndex] == "MediaIn1"
        user.type("colorspace", SPACE)
        user.choose("engine", "propagate")
        user.type("folder", str(tmp_path / "results"))
        user.click("submit")
        user.until(lambda: len(clip.fake.project.pool.items) == 2)
        user.click("close")

    clip.fake.user = artist
    run(clip.fake.names())
    names = [item.info["FilePath"].rpartition("/")[2] for item in clip.fake.project.pool.items]
    assert names == ["A001_C003_MediaIn1_v001.%04d.exr", "A001_C003_MediaIn1_v001_paste.%04d.exr"]
    assert (clip.state.phase, clip.state.ready) == ("done", "0-7")
    (token,) = jobs_of(clip.comp)
    result, paste = loader_of(clip.comp, token, "result"), loader_of(clip.comp, token, "paste")
    for frame in range(len(FRAMES)):
        outside = paste.picture(frame).rgba[..., 3] == 0
        shown, plate = result.picture(frame).rgba, clip.source.picture(frame).rgba
        assert np.array_equal(shown[outside], plate[outside]) and not np.array_equal(shown, plate)
    assert clip.comp.tool("MediaOut1").attrs["TOOLB_PassThrough"] is False


def test_resolve_needs_an_output_folder(clip):
    def artist(user):
        user.type("colorspace", SPACE)
        user.click("submit")
        assert "Set an output folder" in user.text("status")
        user.click("close")

    clip.fake.user = artist
    run(clip.fake.names())


def test_a_clip_without_a_composition_gets_one_and_needs_a_mask(footage):
    fake = FakeResolve()
    with pytest.raises(UsageError, match="A001_C003 has nothing to remove: draw a mask"):
        run(fake.names())
    assert fake.item.GetFusionCompCount() == 1


def test_the_script_needs_resolve_a_timeline_and_a_clip():
    with pytest.raises(UsageError, match="no clip under the playhead"):
        run(FakeResolve(clip="").names())
    fake = FakeResolve()
    fake.project.timeline = None
    with pytest.raises(UsageError, match="open a timeline first"):
        run(fake.names())
    with pytest.raises(UsageError, match="needs Resolve"):
        run({})


def test_the_menu_script_shows_its_error_in_a_window():
    fake = FakeResolve(clip="")
    messages = []

    def artist(user):
        messages.append(user.text("text"))
        user.close()

    fake.user = artist
    script(fake.names())
    assert "no clip under the playhead" in messages[0]


def test_clip_info_has_the_form_that_the_media_pool_reads():
    info = clip_info("/r/sh_v001/sh_v001.####.exr", FrameRange([3, 4, 9]))
    assert info == {"FilePath": "/r/sh_v001/sh_v001.%04d.exr", "StartIndex": 3, "EndIndex": 9}


def test_scripting_paths_come_from_the_environment_or_the_readme():
    api, lib = timeline.scripting_paths({}, "linux")
    assert (api, lib) == ("/opt/resolve/Developer/Scripting", "/opt/resolve/libs/Fusion/fusionscript.so")
    api, lib = timeline.scripting_paths({"PROGRAMDATA": "D:/Data"}, "win32")
    assert api == "D:/Data/Blackmagic Design/DaVinci Resolve/Support/Developer/Scripting" and lib.endswith(".dll")
    assert timeline.scripting_paths({timeline.API: "/mine", timeline.LIB: "/lib.so"}, "darwin") == ("/mine", "/lib.so")


MODULE = """
def scriptapp(name):
    import builtins
    return builtins.void_bridge_test_resolve
"""


@pytest.fixture
def resolve_module(tmp_path, monkeypatch):
    """Install a fake of Resolve's module, and yield a function that sets the Resolve it returns."""
    (tmp_path / "Modules").mkdir()
    (tmp_path / "Modules" / "DaVinciResolveScript.py").write_text(MODULE)
    monkeypatch.setenv(timeline.API, str(tmp_path))
    monkeypatch.setenv(timeline.LIB, "fusionscript.so")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "DaVinciResolveScript", raising=False)
    yield lambda resolve: monkeypatch.setattr("builtins.void_bridge_test_resolve", resolve, raising=False)
    sys.modules.pop("DaVinciResolveScript", None)


def test_resolve_studio_is_reached_from_outside(resolve_module):
    fake = FakeResolve()
    resolve_module(fake.resolve)
    names = timeline.external_globals()
    assert names["resolve"] is fake.resolve and names["fusion"] is fake.fusion
    assert names["bmd"].__name__ == "DaVinciResolveScript"


def test_a_resolve_that_does_not_answer_is_reported(resolve_module, capsys):
    resolve_module(None)
    with pytest.raises(InputError, match="Resolve does not answer"):
        timeline.external_globals()
    assert main() == InputError.exit_code
    assert capsys.readouterr().err.startswith("VOID Remove: Resolve does not answer")


def test_without_resolve_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv(timeline.API, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="install Resolve Studio, or set RESOLVE_SCRIPT_API"):
        timeline.external_globals()
