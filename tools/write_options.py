"""Writes the pages and the list that follow from the options of a job: `make docs`.

These are docs/reference/options.md, the list in the Lua script, and the rows of `Job` in docs/reference/protocol.md.
`tests/unit/test_options.py` compares them with the code.
"""

from __future__ import annotations

import dataclasses
import json
import re

from host_plugins.control.settings import matte_specs, setting_specs
from tools.page import REFERENCE, ROOT, detail, table
from void_bridge.cli.job_options import flag_of, metavar_of
from void_bridge.job import Job
from void_bridge.options import GROUPS, Option, options_of

PAGE = REFERENCE / "options.md"
PROTOCOL = REFERENCE / "protocol.md"
LUA = ROOT / "host_plugins" / "resolve" / "scripts" / "VOID Remove (free edition).lua"
LUA_LIST = re.compile(r"(?<=^-- Options: written by `make docs`\n).*?(?=^-- End of options$)", re.M | re.S)
JOB_ROWS = re.compile(r"(?<=^### `Job`\n).*?(?=^### )", re.M | re.S)

HEAD = """# Options of a job

<!-- `make docs` writes this page from the fields of `void_bridge.job.Job`, where each option is declared. -->

These are options of `void-bridge remove`, `submit` and `quadmask`, next to PLATE, `-o`, `--frames` and `--colorspace`.
In a shot list each option is a column, named without its dashes. In a `job.json` each is a field, with `_` in place of
`-`. Sizes are WIDTHxHEIGHT, a portrait canvas with letters: `384wx672h`; only the field `canvas` of a `job.json` is
HEIGHTxWIDTH. Each matte has an option `--invert-...`, which inverts it. In the panels of Nuke, Fusion and Resolve seeds
end at 2147483647.
"""
TYPES = {
    "matte": "MatteSource or nil",
    "integer": "int",
    "number": "float",
    "auto": "float or nil",
    "flag": "bool",
}


def options_page(job: type[Job] = Job) -> str:
    """Return docs/reference/options.md."""
    parts = [HEAD]
    for group in GROUPS:
        rows = [_row(each) for each in options_of(job) if each.group == group]
        if rows:
            parts.append(f"\n## {group}\n\n{table(('option', 'meaning'), rows)}")
    return "".join(parts)


def lua_list(job: type[Job] = Job) -> str:
    """Return the list of options in the Lua script."""
    roles = ", ".join(json.dumps(each.name) for each in matte_specs(job))
    names = {each.name for each in options_of(job)}
    lines = [_lua(spec) for spec in setting_specs("remove", job) if spec.name in names]
    return "\n".join([f"local ROLES = {{ {roles} }}", "local OPTIONS = {", *lines, "}", ""])


def protocol_rows(section: str, job: type[Job] = Job) -> str:
    """Return the section of `Job` in docs/reference/protocol.md with a row for every option; their meanings stay.

    Args:
        section: the section as it is.
        job: the class of the job.
    """
    options = {each.name: each for each in options_of(job)}
    lines = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", section, re.M)}
    for name in (field.name for field in dataclasses.fields(job) if field.name in options):
        meaning = lines[name].rsplit(" | ", 1)[1] if name in lines else f"{options[name].help} |"
        lines[name] = f"| `{name}` | {_type(options[name])} | {_default(options[name])} | {meaning}"
    rows = [lines[field.name] for field in dataclasses.fields(job)]
    before, _, _ = section.partition("| `")
    return before + "\n".join([*rows, "", ""])


def _row(option: Option) -> tuple[str, str]:
    """Return the row of an option in docs/reference/options.md."""
    is_number = option.kind in ("integer", "number", "auto")
    values = option.expected if is_number else ", ".join(option.values) + (", ..." if option.is_open else "")
    word = flag_of(option) if option.values else f"{flag_of(option)} {metavar_of(option)}"
    default = option.text(option.default) if option.kind != "matte" else ""
    parts = (
        values,
        f"default {default}" if default else "",
        f"engine {', '.join(option.engines)}" if option.engines else "",
        f"in panels *{option.label}*" if option.label else "",
    )
    return f"`{word}`", f"{option.help}{detail(*parts) if any(parts) else ''}"


def _lua(spec: Option) -> str:
    """Return the line of an option in the Lua script."""
    fields = {"name": spec.name, "flag": flag_of(spec), "label": spec.label, "default": spec.default}
    words = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    if spec.kind == "choice":
        words.append(f"choices = {{ {', '.join(json.dumps(value) for value in spec.values)} }}")
    words += ["is_open = true"] if spec.is_open else []
    words += [f"low = {spec.low}, high = {spec.high}"] if spec.kind == "integer" else []
    return f"  {{ {', '.join(words)} }},"


def _type(option: Option) -> str:
    """Return the type of an option's field as docs/reference/protocol.md names it."""
    if option.kind == "choice" and not option.is_open:
        return f"one of {', '.join(f'`{value}`' for value in option.values)}"
    return TYPES.get(option.kind, "text")


def _default(option: Option) -> str:
    return "nil" if option.default is None else f"`{json.dumps(option.default)}`"


def main() -> None:
    """Rewrite the three files."""
    PAGE.write_text(options_page(), encoding="utf-8")
    script, page = LUA.read_text(encoding="utf-8"), PROTOCOL.read_text(encoding="utf-8")
    LUA.write_text(LUA_LIST.sub(lambda _: lua_list(), script), encoding="utf-8")
    PROTOCOL.write_text(JOB_ROWS.sub(lambda match: protocol_rows(match[0]), page), encoding="utf-8")


if __name__ == "__main__":
    main()
