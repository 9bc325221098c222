"""docs/reference/protocol.md against the code: every message and field, its type and default, and nothing else."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from gpu_server.server.app import ANSWERS_MAX
from void_bridge.errors import error_classes
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol import framing
from void_bridge.protocol.messages import (
    FINAL_STATES,
    MESSAGES,
    PROTOCOL_VERSION,
    Failure,
    InputFile,
    JobState,
    JobStatus,
    Progress,
    ResultFrame,
    SpoolStatus,
    WorkerStatus,
)

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
VALUES = (InputFile, Failure, Progress, JobStatus, WorkerStatus, SpoolStatus, ResultFrame, Job, Colour, MatteSource)
DOCUMENTED = {**MESSAGES, **{cls.__name__: cls for cls in VALUES}}
_WORDS = {str: "text", int: "int", float: "float", bool: "bool", bytes: "bytes", object: "any", FrameRange: "text"}


def type_words(hint):
    """Return the type of a field as the page writes it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is Union:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return f"{type_words(inner)} or nil"
    if origin is tuple:
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return f"map of {type_words(arguments[1])}"
    return _WORDS.get(hint) or hint.__name__


def default_words(field):
    """Return the default of a field as the page writes it, which is empty for a required field."""
    if field.default_factory is not dataclasses.MISSING:
        return "`{}`"
    if field.default is dataclasses.MISSING:
        return ""
    return "nil" if field.default is None else f"`{json.dumps(field.default)}`"


def sections():
    """Return the rows of each section's table, by name."""
    found = {}
    for name, body in re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S):
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", body, re.M)
        found[name] = [(field, kind, default.strip()) for field, kind, default, _ in rows]
    return found


def test_every_message_and_value_has_a_section_and_no_other():
    assert set(sections()) == set(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_field_is_there_with_its_type_and_default(name):
    hints = get_type_hints(DOCUMENTED[name])
    fields = dataclasses.fields(DOCUMENTED[name])
    assert sections()[name] == [
        (field.name, type_words(hints[field.name]), default_words(field).strip()) for field in fields
    ]


def test_the_version_is_the_codes_and_has_an_entry_in_the_changelog():
    assert re.search(r"^Version (\S+)$", TEXT, re.M)[1] == PROTOCOL_VERSION
    assert f"- **{PROTOCOL_VERSION}**" in TEXT.partition("## Changelog")[2]


def test_every_state_is_explained():
    explained = TEXT.partition("## States of a job")[2].partition("## Transports")[0]
    assert all(f"`{state}`" in explained for state in get_args(JobState))
    assert set(FINAL_STATES) < set(get_args(JobState))


def test_the_error_codes_of_the_page_exist():
    codes = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", TEXT.partition("## Errors")[2].partition("## Messages")[0], re.M)
    assert len(codes) > 5 and set(codes) <= set(error_classes())


def test_the_caps_of_the_page_are_the_codes():
    header, part = re.search(r"header (\d+) MiB, buffer (\d+) MiB", TEXT).groups()
    assert (int(header) * 2**20, int(part) * 2**20) == (framing.HEADER_BYTES_MAX, framing.PART_BYTES)
    assert "one buffer" in TEXT and framing.BUFFERS_MAX == 1
    assert int(re.search(r"On the control socket (\d+) of them wait", TEXT).group(1)) == ANSWERS_MAX
