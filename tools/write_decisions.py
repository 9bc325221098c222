"""Writes docs/contributing/decisions/index.md from the titles of the records."""

from __future__ import annotations

from tools.page import NOTE, ROOT

FOLDER = ROOT / "docs" / "contributing" / "decisions"
PAGE = FOLDER / "index.md"
HEAD = f"""# Decisions

{NOTE}

Each record has the background of a decision, the options, and the outcome with its reasons. A new record gets the next
number and a line in `mkdocs.yml`.

"""


def decisions_page() -> str:
    """Return docs/contributing/decisions/index.md."""
    lines = []
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})\n")
    return HEAD + "".join(lines)
