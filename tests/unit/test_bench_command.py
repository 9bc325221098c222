"""`void-bridge bench`: its options."""

from __future__ import annotations

import pytest

from void_bridge.cli.main import main

pytestmark = pytest.mark.slow


def test_a_folder_without_models_is_refused_and_no_page_is_written(tmp_path, capsys):
    page = tmp_path / "page.md"
    assert main(["bench", "void", "--models", str(tmp_path), "--out", str(page)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not page.exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nonsense"], "nonsense"),
        (["noise", "--pairs", "0"], "pairs"),
        (["void", "--size", "380x672"], "multiples of 16"),
        (["void", "--frames", "none"], "none"),
    ],
)
def test_wrong_options_are_refused(words, named, capsys):
    assert main(["bench", *words]) == 2
    assert named in capsys.readouterr().err


def test_the_command_has_help_for_every_part(capsys):
    assert main(["bench", "--help"]) == 0
    output = capsys.readouterr().out
    assert all(part in output for part in ("loop", "memory", "propagate", "noise", "morph", "void", "--random-weights"))
