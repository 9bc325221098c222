"""Writes every page and list that follows from the code: `make docs`. tests/unit/test_pages.py compares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools import (
    draw_architecture,
    write_commands,
    write_configuration,
    write_decisions,
    write_errors,
    write_metrics,
    write_options,
    write_python,
)

PAGES: dict[Path, Callable[[], str]] = {
    draw_architecture.PAGE: draw_architecture.architecture_svg,
    write_commands.PAGE: write_commands.commands_page,
    write_configuration.PAGE: write_configuration.configuration_page,
    write_decisions.PAGE: write_decisions.decisions_page,
    write_errors.PAGE: write_errors.errors_page,
    write_metrics.PAGE: write_metrics.metrics_page,
    write_python.PAGE: write_python.python_page,
}


def main() -> None:
    """Write all of them."""
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
    write_options.main()


if __name__ == "__main__":
    main()
