"""Data that a composition keeps between sessions: the shot of a tool, its settings, and the state of its job.

Each shot has a token, which its plate tool carries as data. Data is saved with the composition and copied with a tool.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Union

from host_plugins.control.settings import Settings, settings_from
from host_plugins.control.state import JobState
from host_plugins.resolve.choice import ToolChoice, selected_choice
from host_plugins.resolve.graph import all_tools
from void_bridge.errors import InputError, UsageError

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

# Data of plate tools. OWNER is the tool's own name, by which the original of a copy is known.
SHOT, OWNER, CHOICE, SETTINGS = (f"void_bridge.{name}" for name in ("shot", "owner", "choice", "settings"))
FARM_JOB = "void_bridge.farm_job"  # the farm and its id for the job, for other scripts
KIND, JOB, FIRST = (f"void_bridge.{name}" for name in ("kind", "job", "first"))  # data of Loaders
JOBS, LAST, STOP, FARM = (f"void_bridge.{name}" for name in ("jobs", "last", "stop", "farm"))  # data of compositions
MODIFIED = "COMPB_Modified"  # attribute: whether there are unsaved changes


def text_data(thing: Union[Composition, Operator], name: str) -> str:
    """Return data as text, or an empty string if there is none."""
    value = thing.GetData(name)
    return value if isinstance(value, str) else ""


def shot_token(tool: Operator) -> str:
    """Return the token of a tool's shot, or an empty string if it has none."""
    return text_data(tool, SHOT)


def ensure_shot_token(comp: Composition, plate: Operator) -> str:
    """Return the token for the next submission of a plate tool.

    A tool without a token, and a copy of another plate, get a new one.
    """
    token = shot_token(plate)
    owner = plate_of_shot(comp, token) if token else None
    if not token or (owner is not None and owner.Name != plate.Name):
        token = f"s{uuid.uuid4().hex[:11]}"
        plate.SetData(SHOT, token)
    plate.SetData(OWNER, plate.Name)
    return token


def plate_of_shot(comp: Composition, token: str) -> Optional[Operator]:
    """Return the plate tool of a shot, or None if it was deleted.

    Of a plate and its copies this is the tool that was submitted, or the oldest one if that was renamed.
    """
    tools = [tool for tool in all_tools(comp) if shot_token(tool) == token and not text_data(tool, KIND)]
    submitted = [tool for tool in tools if text_data(tool, OWNER) == tool.Name]
    return next(iter([*submitted, *tools]), None)


def jobs_of(comp: Composition) -> Dict[str, JobState]:
    """Return the state of each shot's last job by the shot's token; empty if the data cannot be read."""
    try:
        texts = json.loads(text_data(comp, JOBS) or "{}")
        return {token: JobState.from_text(text) for token, text in texts.items()}
    except (ValueError, AttributeError, InputError):
        return {}


def save_job(comp: Composition, token: str, state: JobState) -> None:
    """Store the state of a shot's job, and its farm as text that other scripts read from the plate tool."""
    jobs = jobs_of(comp)
    plate = plate_of_shot(comp, token) if state.farm != jobs.get(token, JobState()).farm else None
    if plate is not None:
        plate.SetData(FARM_JOB, state.farm)
    jobs[token] = state
    comp.SetData(JOBS, json.dumps({token: state.to_text() for token, state in jobs.items()}))


def update_job(comp: Composition, token: str, state: JobState) -> None:
    """Store a new state of a known job without marking a saved composition as modified.

    The state is asked for again whenever the composition is opened, so that it need not be saved.
    """
    had_changes = comp.GetAttrs().get(MODIFIED)
    save_job(comp, token, state)
    if had_changes is False:
        comp.SetAttrs({MODIFIED: False})


def shots_with_job(comp: Composition, id: str) -> List[str]:
    """Return the tokens of the shots whose last job has this id."""
    return [token for token, state in jobs_of(comp).items() if state.id == id]


def save_choice(comp: Composition, plate: Operator, choice: ToolChoice, settings: Settings) -> None:
    """Store the choice and the settings of a plate, and the plate as the one that was used last."""
    plate.SetData(CHOICE, choice.to_text())
    plate.SetData(SETTINGS, json.dumps(settings.values()))
    comp.SetData(LAST, plate.Name)


def saved_choice(comp: Composition, plate: str) -> Tuple[ToolChoice, Settings]:
    """Return the stored choice and settings of a plate tool; defaults if there are none or they cannot be read."""
    tool = comp.FindTool(plate) if plate else None
    if tool is None:
        return ToolChoice(plate), Settings()
    choice = ToolChoice.from_text(text_data(tool, CHOICE))
    try:
        settings = settings_from(json.loads(text_data(tool, SETTINGS) or "{}"))
    except (ValueError, UsageError, AttributeError):
        settings = Settings()
    return ToolChoice(plate, choice.mattes, choice.inverted), settings


def initial_choice(comp: Composition) -> ToolChoice:
    """Return the selected tools; if no plate is among them, with the plate that was used last."""
    choice = selected_choice(comp)
    last = text_data(comp, LAST)
    if choice.plate or not last or comp.FindTool(last) is None:
        return choice
    return ToolChoice(last, choice.mattes)


def plates_with_choice(comp: Composition) -> List[str]:
    """Return the names of the plate tools for which mattes have been chosen."""
    return [tool.Name for tool in all_tools(comp) if ToolChoice.from_text(text_data(tool, CHOICE)).mattes]
