"""The data behind the fake of Nuke: the subset is the scan's, and what was added by hand names its source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hosts.data import make_subset
from tests.hosts.fake_nuke.data import exr_knobs, node_specs, raw
from tests.hosts.fake_nuke.other_knobs import CLASSES, make_knob

WHOLE_SCAN = Path(__file__).parents[3] / "shared" / "hosts" / "nuke_nodes.json"


@pytest.fixture
def whole():
    if not WHOLE_SCAN.is_file():
        pytest.skip(f"the whole scan of Nuke 17's nodes is not at {WHOLE_SCAN}")
    return json.loads(WHOLE_SCAN.read_text("utf-8"))


def test_the_subset_is_the_scans(whole):
    assert make_subset.SUBSET.read_text("utf-8") == make_subset.as_text(make_subset.subset(whole))


def test_the_subset_differs_from_another_scan(whole):
    whole["Keymix"]["knobs"]["bbox"][1].append("neither")
    assert make_subset.SUBSET.read_text("utf-8") != make_subset.as_text(make_subset.subset(whole))


def test_numbers_start_as_the_scans_do(whole):
    """Check the default of each number: the first sample in the scan is the node's own value."""
    numbers = ("Array_Knob", "WH_Knob", "BBox_Knob")
    for name, defaults in raw("nuke_extra.json")["defaults"].items():
        for knob, value in defaults.items() if name in whole else ():
            kind, samples = whole[name]["knobs"][knob]
            assert kind not in numbers or samples[0] == value, f"{name}.{knob}"


def test_the_subset_has_values_of_choices_only():
    for name, node in raw("nuke_nodes.json").items():
        for knob, spec in node["knobs"].items():
            assert isinstance(spec, str) or spec[0] in make_subset.WITH_VALUES, f"{name}.{knob}"


@pytest.mark.parametrize("table", ["exr_write", "exr_read", "root"])
def test_knobs_added_by_hand_name_their_source(table):
    extra = raw("nuke_extra.json")
    for name, spec in extra[table].items():
        assert spec["source"] in extra["sources"], name
        assert spec["type"] in CLASSES, name


@pytest.mark.parametrize("version", [14, 15, 16, 17])
def test_every_default_fits_its_knob(version):
    specs = [knob for node in node_specs(version).values() for knob in node.knobs]
    for spec in (*specs, *exr_knobs("Read"), *exr_knobs("Write")):
        made = make_knob(spec)
        assert (made._name, made._kind) == (spec.name, spec.kind)


def test_defaults_are_for_knobs_that_exist():
    for name, defaults in raw("nuke_extra.json")["defaults"].items():
        if isinstance(defaults, dict) and name != "*":
            known = {spec.name for spec in node_specs(17)[name].knobs}
            assert set(defaults) <= known, name


def test_the_knob_of_the_ocio_config_is_named_by_version():
    names = {
        version: {spec.name for spec in node_specs(version)["Root"].knobs if spec.name.startswith("OCIO")}
        for version in (14, 15, 16, 17)
    }
    assert names == {14: {"OCIO_config"}, 15: {"OCIOConfig"}, 16: {"OCIOConfig"}, 17: {"OCIO_config"}}
