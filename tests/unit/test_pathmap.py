from __future__ import annotations

import pytest

from void_bridge.errors import ConfigError
from void_bridge.pathmap import PathMap

TABLE = PathMap.parse(
    [r"P:\=/mnt/projects", r"P:\show\plates = /mnt/plates", r"\\nas\jobs=/mnt/jobs", "/Volumes/jobs=/mnt/jobs"]
)


@pytest.mark.parametrize(
    ("path", "here"),
    [
        (r"P:\show\comp\a.1001.exr", "/mnt/projects/show/comp/a.1001.exr"),
        (r"p:/Show/comp\a.1001.exr", "/mnt/projects/Show/comp/a.1001.exr"),
        (r"P:\show\plates\a.1001.exr", "/mnt/plates/a.1001.exr"),
        (r"P:\show\plates_old\a.exr", "/mnt/projects/show/plates_old/a.exr"),
        (r"\\NAS\jobs\a.exr", "/mnt/jobs/a.exr"),
        ("/Volumes/jobs/a.exr", "/mnt/jobs/a.exr"),
        ("/Volumes/jobs", "/mnt/jobs"),
        ("/Volumes/Jobs/a.exr", "/Volumes/Jobs/a.exr"),
        ("/Volumes/jobs2/a.exr", "/Volumes/jobs2/a.exr"),
        (r"Q:\a.exr", r"Q:\a.exr"),
        ("P/show/a.exr", "P/show/a.exr"),
    ],
)
def test_paths_of_other_machines_are_mapped(path, here):
    assert TABLE.to_local(path) == here


def test_paths_are_mapped_on_windows():
    table = PathMap.parse([r"/mnt/projects=P:\ "])
    assert table.to_local("/mnt/projects/show/a.exr") == r"P:\show\a.exr"


@pytest.mark.parametrize("text", ["/mnt/projects", "=/mnt", "P:= "])
def test_an_entry_needs_both_sides(text):
    with pytest.raises(ConfigError, match="expected FROM=TO"):
        PathMap.parse([text])
