"""The state of an artist's job: a small value that a node stores in a knob, so that it survives a restart."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal, Tuple

from host_plugins.control.settings import Settings
from void_bridge.errors import InputError
from void_bridge.typed import from_plain, to_plain

Phase = Literal["none", "sending", "queued", "running", "handed_over", "lost", "done", "failed", "cancelled"]
ENDED: Tuple[Phase, ...] = ("done", "failed", "cancelled")

# Colours of a node's tile, as 0xRRGGBBAA: grey, blue, amber, green, red.
TILE_COLOURS = {
    "none": 0x5A6470FF,
    "sending": 0x2F6DA8FF,
    "queued": 0x2F6DA8FF,
    "running": 0xB8860BFF,
    "handed_over": 0x2F6DA8FF,
    "lost": 0xA33A2FFF,
    "done": 0x2E7D4FFF,
    "failed": 0xA33A2FFF,
    "cancelled": 0x5A6470FF,
}


@dataclass(frozen=True)
class JobState:
    """The state of one job.

    Attributes:
        id: the job's id; empty while there is no job.
        phase: where the job is between submission and its end.
        line: one line for the panel.
        output: the pattern of the delivered frames.
        frames: the requested frames, as a range.
        ready: the frames on disk, as a range; may be empty.
        server: the address of the server that has the job; empty for the local one.
        report: lines about the settings and, once the job has ended, about its result.
        farm: the farm that has the job and its id for it, such as `deadline-cloud job-0123`; empty until it has it.
    """

    id: str = ""
    phase: Phase = "none"
    line: str = ""
    output: str = ""
    frames: str = ""
    ready: str = ""
    server: str = ""
    report: Tuple[str, ...] = ()
    farm: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the job may still change."""
        return bool(self.id) and self.phase not in ENDED

    @property
    def at_farm(self) -> bool:
        """Whether the job was handed to a farm, so that no server knows it."""
        return self.phase == "handed_over" or bool(self.farm)

    def settings_at_its_server(self, settings: Settings) -> Settings:
        """Return a panel's settings with the address of the server that has this job."""
        if self.at_farm:
            return settings
        return dataclasses.replace(settings, where="server" if self.server else "local", address=self.server)

    def replace(self, **changes: object) -> JobState:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def to_text(self) -> str:
        """Return the state as one line of ASCII, for a text knob of any host."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_text(cls, text: str) -> JobState:
        """Return the state that `to_text` wrote; an empty text is no job.

        Raises:
            InputError: the text is no state.
        """
        if not text.strip():
            return cls()
        try:
            data = json.loads(text)
        except ValueError as exc:
            raise InputError(f"cannot read the state of a job: {exc}; submit again") from exc
        return from_plain(cls, data, where="job state", error=InputError)
