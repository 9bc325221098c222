"""Parts of the pages of docs/ that are written from the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- `make docs` writes this page from the code. -->"


def detail(*parts: str) -> str:
    """Return a second line of a table's cell, in smaller letters, from the parts that are not empty."""
    return f'<br><span class="detail">{"; ".join(filter(None, parts))}</span>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        columns: the texts of the first row.
        rows: Markdown texts, one for each column; a `|` in them needs no care.
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines) + "\n"
