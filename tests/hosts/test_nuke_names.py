"""Every class, knob and value that the Nuke plug-in uses is the vendor's; a planted typo is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.fake_nuke.data import exr_knobs, node_specs
from tests.hosts.nuke_plugin import started
from tests.hosts.vendor_names import Names, faults

PLUGIN = Path(__file__).parents[2] / "host_plugins" / "nuke"
FILES = sorted(PLUGIN.rglob("*.py"))


@pytest.fixture(scope="module")
def own_knobs():
    """Return the knobs that the panel adds to its group."""
    with started() as (_, void_bridge_nuke):
        yield set(void_bridge_nuke.create().knobs())


@pytest.mark.parametrize("version", [14, 15, 16, 17])
def test_the_plugin_names_only_what_nuke_has(version, own_knobs):
    assert faults(FILES, Names(version, own_knobs)) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "found"),
    [
        ("node.py", "nuke.nodes.Keymix", "nuke.nodes.KeyMix", "no node class KeyMix"),
        ("node.py", '["maskChannel"]', '["maskChanel"]', "Keymix has no knob maskChanel"),
        ("node.py", 'bbox="B"', 'bbox="b side"', "bbox takes no 'b side'"),
        ("node.py", 'on_error="error"', 'on_error="fail"', "on_error takes no 'fail'"),
        ("export.py", '["datatype"]', '["data_type"]', "no knob data_type"),
        ("export.py", 'file_type="exr"', 'file_type="openexr"', "file_type takes no 'openexr'"),
        ("export.py", '["proxy"]', '["proxies"]', "Root has no knob proxies"),
        ("inputs.py", 'read["disable"]', 'read["disabled"]', "no node of the plug-in has a knob disabled"),
    ],
)
def test_a_planted_typo_is_found(tmp_path, own_knobs, file, right, wrong, found):
    text = (PLUGIN / file).read_text()
    assert right in text
    planted = tmp_path / file
    planted.write_text(text.replace(right, wrong))
    others = [path for path in FILES if path.name != file]
    assert any(found in fault for fault in faults([planted, *others], Names(17, own_knobs)))


def test_tables_of_knobs_name_what_a_read_has(own_knobs):
    from host_plugins.nuke.inputs import _NEUTRAL
    from host_plugins.nuke.result import _READ_KNOBS

    known = {spec.name: spec for spec in (*node_specs(17)["Read"].knobs, *exr_knobs("Read"))}
    assert {*_NEUTRAL, *_READ_KNOBS} <= set(known)
    for name, value in _NEUTRAL.items():
        assert not known[name].values or known[name].kind != "Enumeration_Knob" or value in known[name].values


def test_the_stubs_find_a_planted_typo(tmp_path):
    planted = tmp_path / "export.py"
    text = (PLUGIN / "export.py").read_text()
    planted.write_text(text.replace("nuke.executeMultiple(", "nuke.executeMultple("))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"]
    failed = subprocess.run([*command, str(planted)], cwd=PLUGIN.parents[1], capture_output=True, text=True)
    (line,) = [line for line in failed.stdout.splitlines() if "error:" in line]
    assert failed.returncode == 1 and "executeMultple" in line
