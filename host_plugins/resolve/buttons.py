"""The buttons of the window, which are also the actions of the dialog where there are no windows."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from host_plugins.control.settings import Page


class PanelButton(NamedTuple):
    """name: of the `FusionSession`'s method."""

    name: str
    label: str
    tip: str
    page: Page = "remove"


BUTTONS: Tuple[PanelButton, ...] = (
    PanelButton(
        "submit", "Submit", "Render plate and mattes, and hand the job over. Every submission is a new version."
    ),
    PanelButton(
        "preview", "Preview", "Show this frame through the colour space above, with the mattes as the model sees them."
    ),
    PanelButton("cancel", "Cancel", "Stop this plate's job. Finished frames stay on disk."),
    PanelButton("reload", "Reload", "Ask again how the job stands, and show finished frames again."),
    PanelButton("compare", "Compare", "Make a movie: before, after, wipe."),
    PanelButton("open_folder", "Open folder", "Show the folder of the result."),
    PanelButton("check_server", "Check", "Say which server answers and what it can do.", "server"),
    PanelButton("free_gpu", "Free GPU", "Have idle workers give their GPU memory back.", "server"),
    PanelButton(
        "find_jobs",
        "Find jobs...",
        "Show a job of the server beside this plate: one whose comp is gone, say.",
        "server",
    ),
)
