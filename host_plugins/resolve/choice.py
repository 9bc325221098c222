"""Which tool is the plate and which are the mattes: from the selection, from last time, or as the artist says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, Tuple

from host_plugins.resolve.graph import all_tools, is_image, is_mask
from void_bridge.errors import InputError, UsageError
from void_bridge.typed import from_plain, to_plain

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

ROLES = ("remove", "affected", "keep")
NONE = "(none)"


@dataclass(frozen=True)
class ToolChoice:
    """Names of tools. mattes: by role, those that are chosen. inverted: roles that are drawn the other way."""

    plate: str = ""
    mattes: Dict[str, str] = field(default_factory=dict)
    inverted: Tuple[str, ...] = ()

    def to_text(self) -> str:
        return json.dumps(to_plain(self))

    @classmethod
    def from_text(cls, text: str) -> ToolChoice:
        """Of text that cannot be read nothing is chosen."""
        try:
            return from_plain(cls, json.loads(text or "{}"), error=InputError)
        except (ValueError, InputError):
            return cls()


def selected_choice(comp: Composition) -> ToolChoice:
    """The first image tool that is selected is the plate; masks, then other images, are mattes, in the roles' order."""
    selected = all_tools(comp, selected=True)
    images = [tool.Name for tool in selected if is_image(tool)]
    masks = [tool.Name for tool in selected if is_mask(tool)]
    if not images:
        return ToolChoice(mattes=dict(zip(ROLES, masks)))
    return ToolChoice(images[0], dict(zip(ROLES, [*masks, *images[1:]])))


def plate_tool(comp: Composition, choice: ToolChoice) -> Operator:
    """Raises UsageError: none is chosen, it is gone, or it makes no picture."""
    if not choice.plate:
        raise UsageError("no plate: choose the tool whose picture is to be cleaned, or select it first")
    tool = _found(comp, choice.plate, "the plate")
    if not is_image(tool):
        raise UsageError(f"{choice.plate} makes no picture; choose another tool as the plate")
    return tool


def matte_tools(comp: Composition, choice: ToolChoice) -> Dict[str, Operator]:
    """Role -> tool. Raises UsageError: no matte, one that is gone, or one that is no matte."""
    if not (choice.mattes.get("remove") or choice.mattes.get("affected")):
        raise UsageError("nothing to remove: choose a mask tool for 'remove' (or 'affected')")
    found = {role: _found(comp, name, f"'{role}'") for role, name in choice.mattes.items() if name}
    for role, tool in found.items():
        if not (is_mask(tool) or is_image(tool)):
            raise UsageError(f"{tool.Name} for '{role}' is neither a mask nor a picture with an alpha; choose another")
        if tool.Name == choice.plate:
            raise UsageError(f"{tool.Name} is the plate; choose another tool for '{role}'")
    return found


def plate_names(comp: Composition) -> List[str]:
    return [tool.Name for tool in all_tools(comp) if is_image(tool)]


def matte_names(comp: Composition) -> List[str]:
    """Masks first."""
    tools = all_tools(comp)
    masks = [tool.Name for tool in tools if is_mask(tool)]
    return [*masks, *(tool.Name for tool in tools if is_image(tool))]


def _found(comp: Composition, name: str, what: str) -> Operator:
    tool = comp.FindTool(name)
    if tool is None:
        raise UsageError(f"{name}, chosen for {what}, is not in this composition any more; choose another tool")
    return tool
