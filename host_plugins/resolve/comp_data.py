"""What a composition remembers between sessions: which shot a tool belongs to, its settings, and how its job stands.

A shot is known by a token that its plate tool carries as data. Data is saved with the composition and copied with a
tool.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Union

from host_plugins.control.settings import Settings, settings_from
from host_plugins.control.state import JobState
from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.graph import all_tools
from void_bridge.errors import InputError, UsageError
from void_bridge.typed import to_plain

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

SHOT, OWNER, CHOICE, SETTINGS = (f"void_bridge.{name}" for name in ("shot", "owner", "choice", "settings"))
MODIFIED = "COMPB_Modified"  # whether there are unsaved changes
KIND, JOB, FIRST = (f"void_bridge.{name}" for name in ("kind", "job", "first"))
JOBS, LAST, STOP = (f"void_bridge.{name}" for name in ("jobs", "last", "stop"))
FARM, FARM_JOB = "void_bridge.farm", "void_bridge.farm_job"


def text_data(thing: Union[Composition, Operator], name: str) -> str:
    """A piece of data as text, empty where there is none."""
    value = thing.GetData(name)
    return value if isinstance(value, str) else ""


def shot_token(tool: Operator) -> str:
    """The token of a tool's shot, empty where it has none."""
    return text_data(tool, SHOT)


def ensure_shot_token(comp: Composition, tool: Operator) -> str:
    """The token for the next submission of a plate tool: a copy of another plate gets one of its own."""
    token = shot_token(tool)
    if not token or _is_copy(comp, tool, token):
        token = f"s{uuid.uuid4().hex[:11]}"
        tool.SetData(SHOT, token)
    tool.SetData(OWNER, tool.Name)
    return token


def _is_copy(comp: Composition, tool: Operator, token: str) -> bool:
    owner = plate_of_shot(comp, token)
    return owner is not None and owner.Name != tool.Name


def jobs_of(comp: Composition) -> Dict[str, JobState]:
    """The last job of every shot, by token; none where the data cannot be read."""
    try:
        texts = json.loads(text_data(comp, JOBS) or "{}")
        return {token: JobState.from_text(text) for token, text in texts.items()}
    except (ValueError, AttributeError, InputError):
        return {}


def save_job(comp: Composition, token: str, state: JobState) -> None:
    """Who has it on a farm is data of the plate tool, too: text that other scripts find as `void_bridge.farm_job`."""
    before = jobs_of(comp)
    owner = plate_of_shot(comp, token) if state.farm != before.get(token, JobState()).farm else None
    if owner is not None:
        owner.SetData(FARM_JOB, state.farm)
    jobs = {**before, token: state}
    comp.SetData(JOBS, json.dumps({token: state.to_text() for token, state in jobs.items()}))


def save_job_news(comp: Composition, token: str, state: JobState) -> None:
    """`save_job`, of a job that the composition knows. News are no change of it, for they come again when it is
    opened: one that was saved counts as saved."""
    had_changes = comp.GetAttrs().get(MODIFIED)
    save_job(comp, token, state)
    if had_changes is False:
        comp.SetAttrs({MODIFIED: False})


def shots_with_job(comp: Composition, id: str) -> List[str]:
    """The shots whose last job has this number."""
    return [token for token, state in jobs_of(comp).items() if state.id == id]


def plate_of_shot(comp: Composition, token: str) -> Optional[Operator]:
    """The plate tool of a shot; None when it was deleted. Of a plate and its copies it is the one that was submitted,
    or the oldest where that was renamed."""
    tools = [tool for tool in all_tools(comp) if shot_token(tool) == token and not text_data(tool, KIND)]
    named = [tool for tool in tools if text_data(tool, OWNER) == tool.Name]
    return next(iter([*named, *tools]), None)


def save_choice(comp: Composition, tool: Operator, choice: ToolChoice, settings: Settings) -> None:
    """For the next time that this plate is chosen, and so that it is offered first."""
    tool.SetData(CHOICE, choice.to_text())
    tool.SetData(SETTINGS, json.dumps(to_plain(settings)))
    comp.SetData(LAST, tool.Name)


def saved_choice(comp: Composition, plate: str) -> Tuple[ToolChoice, Settings]:
    """What was chosen for a plate tool last time; defaults where it never was, or cannot be read."""
    tool = comp.FindTool(plate) if plate else None
    if tool is None:
        return ToolChoice(plate), Settings()
    choice = ToolChoice.from_text(text_data(tool, CHOICE))
    try:
        settings = settings_from(json.loads(text_data(tool, SETTINGS) or "{}"))
    except (ValueError, UsageError, AttributeError):
        settings = Settings()
    return ToolChoice(plate, choice.mattes, choice.inverted), settings


def plates_with_choice(comp: Composition) -> List[str]:
    """The plate tools for which something has been chosen."""
    return [tool.Name for tool in all_tools(comp) if ToolChoice.from_text(text_data(tool, CHOICE)).mattes]
