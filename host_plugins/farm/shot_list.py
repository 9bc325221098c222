"""Shot lists as CSV: one job on each line.

shot,plate,remove,frames,output
sh010,plates/sh010.####.exr,roto/sh010.####.exr:A,1001-1046,out/sh010/sh010.####.exr

Columns are `shot` (a name), `job` (a job.json) or `plate`, and the long options of `void-bridge remove` without their
dashes. An empty cell is an option that was not given; flags take yes or no. Relative paths start at the list's folder.
"""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from void_bridge.cli.command import Parser
from void_bridge.cli.job_options import add_job_options, job_from_words
from void_bridge.config import Config
from void_bridge.errors import InputError, UsageError, VoidBridgeError
from void_bridge.job import MATTE_OPTIONS, Job
from void_bridge.typed import nearest

_OWN = ("shot", "job", "plate")
_PATHS = ("job", "plate", "output", *MATTE_OPTIONS)
_FLAGS = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class ShotList:
    """The content of a shot list.

    Attributes:
        jobs: name and job of every line that could be read.
        broken: the fault of each other line, with its number.
    """

    jobs: Tuple[Tuple[str, Job], ...]
    broken: Tuple[str, ...]


def read_shot_list(path: Path, config: Config) -> ShotList:
    """Read a shot list. A broken line does not affect the others.

    Raises:
        InputError: the file cannot be read.
        UsageError: a column that is no option.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read shot list {path}: {exc}; expected CSV in UTF-8") from exc
    jobs: List[Tuple[str, Job]] = []
    broken: List[str] = []
    for number, cells in _lines(text, path):
        try:
            jobs.append(_job(cells, path.absolute().parent, config))
        except VoidBridgeError as exc:
            broken.append(f"line {number}: {exc.message}")
    return ShotList(tuple(jobs), tuple(broken))


def _lines(text: str, path: Path) -> Iterator[Tuple[int, Dict[str, str]]]:
    """Yield number and cells, by column, of every line that has any."""
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [name.strip().lower().lstrip("-").replace("_", "-") for name in _without_empty_end(next(reader, []), 0)]
    _check_columns(columns, path)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            yield number, {"": f"{exc}"}
            continue
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
            yield number, _cells(columns, row)


def _check_columns(columns: List[str], path: Path) -> None:
    known = {*_OWN, *_options()}
    for name in columns:
        if name not in known:
            raise UsageError(f"{path}: unknown column {name!r}{nearest(name, known)}")
    if len(set(columns)) < len(columns):
        raise UsageError(f"{path}: a column appears twice; expected each once")
    if not {"job", "plate"} & set(columns):
        raise UsageError(f"{path}: got columns {', '.join(columns) or 'none'}, expected one called plate or job")


def _without_empty_end(row: List[str], least: int) -> List[str]:
    """Return a row without the empty cells that spreadsheets add at its end."""
    while len(row) > least and not row[-1].strip():
        row = row[:-1]
    return row


def _cells(columns: List[str], row: List[str]) -> Dict[str, str]:
    row = _without_empty_end(row, len(columns))
    if len(row) != len(columns):
        return {"": f"got {len(row)} cells, expected {len(columns)}"}
    return {name: cell.strip() for name, cell in zip(columns, row) if cell.strip()}


def _job(cells: Dict[str, str], folder: Path, config: Config) -> Tuple[str, Job]:
    """Return name and job of one line.

    Raises:
        VoidBridgeError: the line is wrong.
    """
    if "" in cells:
        raise UsageError(cells[""])
    given = {name: _from(folder, cell) if name in _PATHS else cell for name, cell in cells.items()}
    source = given.pop("job", "") or given.pop("plate", "")
    if not source:
        raise UsageError("got neither plate nor job; give one of them")
    name = given.pop("shot", "")
    if given.pop("plate", ""):
        raise UsageError("got a plate and a job; give one of them")
    options = [word for option, cell in given.items() for word in _words(option, cell)]
    return name, job_from_words([source, *options], config)


def _from(folder: Path, text: str) -> str:
    return text if os.path.isabs(text) or text[1:2] == ":" else os.path.join(folder, text)  # noqa: PTH117, PTH118


def _words(option: str, cell: str) -> List[str]:
    if not _options()[option]:
        return [f"--{option}={cell}"]
    if cell.lower() not in _FLAGS:
        raise UsageError(f"{option}: got {cell!r}, expected yes or no")
    return [f"--{option}"] if _FLAGS[cell.lower()] else []


@cache
def _options() -> Dict[str, bool]:
    """Return the long options without their dashes, and whether each is a flag."""
    parser = Parser()
    add_job_options(parser)
    actions = (action for action in parser._actions if action.option_strings and action.dest != "help")
    return {action.option_strings[-1].lstrip("-"): action.nargs == 0 for action in actions}
