"""The rules of Fusion's API that the fake enforces, as registry.py and typings/ have them from the vendor.

What tools render is checked by the self-test, which runs in the fake as in Fusion (test_resolve_selftest.py).
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.hosts.fake_fusion import FakeFusion
from void_bridge.pixels.exr import write_simple


@pytest.fixture
def fake():
    fake = FakeFusion()
    fake.new_comp(frames=range(0, 101))
    return fake


@pytest.fixture
def comp(fake):
    with fake.building() as comp:
        yield comp


def sequence(folder, numbers=(10, 11, 12), dtype=np.float16):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        plane = np.full((4, 6), number, dtype)
        write_simple(folder / f"p.{number:04d}.exr", {"R": plane, "G": plane, "B": plane, "x.Y": plane})
    return str(folder / f"p.{numbers[0]:04d}.exr")


def test_unknown_names_raise(comp):
    with pytest.raises(KeyError, match="no tool 'Lader'"):
        comp.AddTool("Lader", 0, 0)
    tool = comp.AddTool("Loader", 0, 0)
    with pytest.raises(KeyError, match="no input Clp"):
        tool.SetInput("Clp", "x")
    with pytest.raises(TypeError, match="takes str"):
        tool.SetInput("Clip", 3)
    saver, mask = comp.AddTool("Saver", 1, 0), comp.AddTool("PolylineMask", 2, 0)
    with pytest.raises(ValueError, match="ClippingMode is one of"):
        saver.SetInput("ClippingMode", "Domain")
    with pytest.raises(TypeError, match="takes Image"):
        saver.ConnectInput("Input", mask)
    with pytest.raises(KeyError, match="TOOLB_PasThrough"):
        tool.SetAttrs({"TOOLB_PasThrough": True})
    with pytest.raises(AttributeError):
        tool.GetDta("x")
    with pytest.raises(AttributeError, match="no Name that can be set"):
        tool.Name = "other"
    with pytest.raises(AssertionError, match="Strt"):
        comp.Render({"Strt": 1, "End": 2})


def test_another_thread_may_not_use_it(fake):
    errors = []

    def use():
        try:
            fake.comp.GetAttrs()
        except AssertionError as exc:
            errors.append(str(exc))

    thread = threading.Thread(target=use, name="elsewhere")
    thread.start()
    thread.join()
    assert errors == [
        "Composition.GetAttrs was used on the thread 'elsewhere': Fusion's API belongs to the script's own"
    ]


def test_changes_have_to_be_locked_and_grouped(fake):
    comp = fake.comp
    with pytest.raises(AssertionError, match="outside Lock and StartUndo"):
        comp.AddTool("Loader", 0, 0)
    comp.Lock()
    comp.StartUndo("add")
    comp.AddTool("Loader", 0, 0)
    with pytest.raises(AssertionError, match="within"):
        comp.StartUndo("again")
    comp.EndUndo(True)
    comp.Unlock()
    with pytest.raises(AssertionError, match="Unlock without Lock"):
        comp.Unlock()


def test_handles_of_deleted_tools_and_closed_compositions_raise(fake, comp):
    tool = comp.AddTool("Background", 0, 0)
    tool.Delete()
    with pytest.raises(TypeError, match="something that is gone"):
        tool.GetAttrs()
    again = fake.reopen()
    with pytest.raises(TypeError, match=r"Composition\.GetAttrs"):
        comp.GetAttrs()
    assert again.GetAttrs()["COMPN_GlobalEnd"] == 100


def test_a_copy_has_the_data_and_a_name_of_its_own(fake, comp):
    tool = comp.AddTool("Background", 0, 0)
    tool.SetData("a.b", "kept")
    copy = comp.paste("Background1")
    assert (copy.Name, copy.GetData("a.b")) == ("Background2", "kept")
    with pytest.raises(ValueError, match="begins with a digit"):
        tool.SetData("a.1b", "lost")
    with pytest.raises(TypeError, match="the fake keeps text"):
        tool.SetData("a", {"b": 1})


def test_a_new_clip_resets_a_loaders_trim(comp, tmp_path):
    loader = comp.AddTool("Loader", 0, 0)
    loader.SetInput("Clip", sequence(tmp_path / "a"))
    assert [loader.GetInput(n) for n in ("GlobalIn", "GlobalOut", "ClipTimeEnd")] == [0, 2, 2]
    for name, value in (("ClipTimeStart", 1), ("HoldLastFrame", 5), ("Depth", 4), ("TimeCodeOffset", 2)):
        loader.SetInput(name, value)
    loader.SetInput("Clip", sequence(tmp_path / "b", range(1, 8)))
    names = ("ClipTimeStart", "ClipTimeEnd", "HoldLastFrame", "Depth", "TimeCodeOffset", "GlobalOut")
    assert [loader.GetInput(n) for n in names] == [0, 6, 0, 0, 0, 6]


def test_a_loaders_ends_cannot_pass_each_other_and_moving_one_trims(comp, tmp_path):
    loader = comp.AddTool("Loader", 0, 0)
    loader.SetInput("Clip", sequence(tmp_path / "a"))
    loader.SetInput("GlobalIn", 50)
    assert loader.GetInput("GlobalIn") == 0
    loader.SetInput("GlobalIn", 1)
    assert loader.GetInput("ClipTimeStart") == 1
    loader.SetInput("GlobalOut", -3)
    assert loader.GetInput("GlobalOut") == 2


def test_a_loader_reads_no_other_layers(comp, tmp_path):
    loader = comp.AddTool("Loader", 0, 0)
    loader.SetInput("Clip", sequence(tmp_path / "a"))
    picture = loader.picture(1)
    assert picture.rgba[0, 0].tolist() == [11, 11, 11, 1] and picture.depth == "float16"
    assert loader.FindMainOutput(1).GetValue(9) is None


def test_a_dialog_is_checked_and_answered(fake, comp):
    fake.answers = [{"menu": "b", "text": "hello"}]
    control = {1: "menu", 2: "Dropdown", "Options": {1: "a", 2: "b"}, "Default": 0}
    answer = comp.AskUser("title", {1: control, 2: {1: "text", 2: "Text"}, 3: {1: "on", 2: "Checkbox", "Default": 1}})
    assert answer == {"menu": 1.0, "text": "hello", "on": 1.0}
    with pytest.raises(AssertionError, match="numbered from 1"):
        comp.AskUser("title", {0: control})
    with pytest.raises(AssertionError, match="has no options"):
        comp.AskUser("title", {1: {**control, "Lines": 3}})
    with pytest.raises(AssertionError, match="no answer for the dialog"):
        comp.AskUser("title", {1: control})


def test_widgets_have_the_options_and_attributes_of_their_kind(fake):
    ui = fake.ui
    with pytest.raises(AssertionError, match="Label has no options"):
        ui.Label({"Txt": "x"})
    label = ui.Label({"ID": "a", "Text": "x"})
    with pytest.raises(AttributeError, match="Label has no Checked"):
        label.Checked = True
    box = ui.ComboBox({"ID": "b"})
    box.AddItem("one")
    with pytest.raises(AssertionError, match="has 1 entries"):
        box.CurrentIndex = 1
    spin = ui.SpinBox({"ID": "c", "Minimum": 0, "Maximum": 5})
    spin.Value = 9
    assert spin.Value == 5
