"""How an artist's job stands: a small value that a node keeps in a knob and finds again tomorrow."""

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

# What a node's tile shows, as 0xRRGGBBAA: grey, blue, amber, green, red.
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
    """id: empty while there is no job. line: one line for the panel.

    output: pattern of the frames; frames: those asked for; ready: those on disk, as a range or empty.
    server: address that has the job, empty for the local one. report: lines about a finished job.
    farm: who has a job that was handed over, and by which id: `deadline-cloud job-0123`. Empty: nobody yet.
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
        """Whether there may be news of it."""
        return bool(self.id) and self.phase not in ENDED

    @property
    def at_farm(self) -> bool:
        """Whether it was handed over, so that no server knows it."""
        return self.phase == "handed_over" or bool(self.farm)

    def settings_at_its_server(self, settings: Settings) -> Settings:
        """A panel's settings, but with the server that has this job."""
        if self.at_farm:
            return settings
        return dataclasses.replace(settings, where="server" if self.server else "local", address=self.server)

    def replace(self, **changes: object) -> JobState:
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def to_text(self) -> str:
        """One line of ASCII, for a text knob of any host."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_text(cls, text: str) -> JobState:
        """Empty text is no job. Raises InputError: anything else that is not a state."""
        if not text.strip():
            return cls()
        try:
            data = json.loads(text)
        except ValueError as exc:
            raise InputError(f"cannot read the state of a job: {exc}; submit again") from exc
        return from_plain(cls, data, where="job state", error=InputError)
