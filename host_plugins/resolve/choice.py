"""The choice of the plate tool and the matte tools: from the selection, a composition's data or the panel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, Tuple

from host_plugins.control.settings import matte_specs
from host_plugins.resolve.graph import all_tools, image_tools, is_image, is_mask, mask_tools
from void_bridge.errors import InputError, UsageError
from void_bridge.job import names_object
from void_bridge.typed import from_plain, to_plain

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

ROLES = tuple(spec.name for spec in matte_specs())
NONE = "(none)"


@dataclass(frozen=True)
class ToolChoice:
    """Names of the tools for one submission.

    Attributes:
        plate: the tool whose picture is cleaned; empty if none is chosen.
        mattes: the matte tools by role; roles without a tool are left out.
        inverted: the roles whose matte is inverted.
    """

    plate: str = ""
    mattes: Dict[str, str] = field(default_factory=dict)
    inverted: Tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the choice as JSON, to be stored in a composition."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_text(cls, text: str) -> ToolChoice:
        """Return a stored choice, or an empty one if the text cannot be read."""
        try:
            return from_plain(cls, json.loads(text or "{}"), error=InputError)
        except (ValueError, InputError):
            return cls()


def selected_choice(comp: Composition) -> ToolChoice:
    """Return the selected tools: the first image is the plate; masks, then other images, are mattes in role order."""
    selected = all_tools(comp, selected=True)
    images = [tool.Name for tool in selected if is_image(tool)]
    masks = [tool.Name for tool in selected if is_mask(tool)]
    if not images:
        return ToolChoice(mattes=dict(zip(ROLES, masks)))
    return ToolChoice(images[0], dict(zip(ROLES, [*masks, *images[1:]])))


def plate_tool(comp: Composition, choice: ToolChoice) -> Operator:
    """Return the plate tool.

    Raises:
        UsageError: no plate is chosen, the tool is gone, or it makes no picture.
    """
    if not choice.plate:
        raise UsageError("no plate: choose the tool whose image contains the object, or select it first")
    tool = _find_tool(comp, choice.plate, "the plate")
    if not is_image(tool):
        raise UsageError(f"{choice.plate} outputs no image; choose another tool as the plate")
    return tool


def matte_tools(comp: Composition, choice: ToolChoice) -> Dict[str, Operator]:
    """Return the matte tools by role.

    Raises:
        UsageError: neither 'remove' nor 'affected' is chosen, a tool is gone, or a tool cannot be a matte.
    """
    names = {role: name for role, name in choice.mattes.items() if name}
    if not names_object(names):
        raise UsageError("nothing to remove: choose a mask tool for 'remove' (or 'affected')")
    tools = {role: _find_tool(comp, name, f"'{role}'") for role, name in names.items()}
    for role, tool in tools.items():
        if not (is_mask(tool) or is_image(tool)):
            raise UsageError(f"{tool.Name} for '{role}' is neither a mask nor an image with an alpha; choose another")
        if tool.Name == choice.plate:
            raise UsageError(f"{tool.Name} is the plate; choose another tool for '{role}'")
    return tools


def plate_names(comp: Composition) -> List[str]:
    """Return the names of the tools that can be the plate."""
    return [tool.Name for tool in image_tools(comp)]


def matte_names(comp: Composition) -> List[str]:
    """Return the names of the tools that can be a matte, masks first."""
    return [tool.Name for tool in (*mask_tools(comp), *image_tools(comp))]


def _find_tool(comp: Composition, name: str, purpose: str) -> Operator:
    tool = comp.FindTool(name)
    if tool is None:
        raise UsageError(f"{name}, chosen for {purpose}, is no longer in this composition; choose another tool")
    return tool
