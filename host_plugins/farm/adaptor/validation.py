"""Validation of the data that farms pass to the adaptor, against its schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

from openjd.adaptor_runtime.adaptors import AdaptorDataValidators

from void_bridge.errors import UsageError
from void_bridge.typed import nearest

SCHEMAS = Path(__file__).with_name("schemas")


def check(name: str, data: Dict[str, Any]) -> None:
    """Validate data against its schema.

    Args:
        name: init_data or run_data.
        data: the data.

    Raises:
        UsageError: an unknown key, whose nearest is named, a missing one, or a value of the wrong kind.
    """
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"]
    for key in data:
        if key not in known:
            raise UsageError(f"{name}: unknown key {key!r}{nearest(str(key), known)}")
    missing = [key for key in schema.get("required", ()) if key not in data]
    if missing:
        raise UsageError(f"{name}: no {missing[0]!r}; expected {', '.join(known)}")
    try:
        getattr(AdaptorDataValidators.for_adaptor(str(SCHEMAS)), name).validate(data)
    except Exception as exc:  # jsonschema's own, which is the runtime's dependency
        where = ".".join(map(str, getattr(exc, "path", ())))
        raise UsageError(f"{name}: {f'{where}: ' if where else ''}{getattr(exc, 'message', exc)}") from exc
