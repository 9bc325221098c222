"""Scenarios that every host must pass, over a `HostUnderTest`.

A new host: a class with these methods over its fake, and a line in test_compliance.HOSTS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Protocol

import numpy as np

from host_plugins.control.state import JobState
from tests.hosts.farms import JOB as FARM_JOB
from tests.hosts.shots_on_disk import FRAMES
from void_bridge.job import Job, JobFile
from void_bridge.pixels.exr import read_frame
from void_bridge.sequence import Sequence

Until = Callable[[JobState], bool]


class HostUnderTest(Protocol):
    """A saved comp in `folder` with a plate and roto (tests.hosts.shots_on_disk) chosen for removal.

    submit: sets these settings, submits, waits until the job's state is as wanted, and returns it; for the farm the
    comp is saved before, and the dialogs are answered as they come.
    refusal: submits what cannot be, and returns what the artist reads.
    reopen: saves the comp, leaves the host, starts it again, opens the comp and waits.
    shown, plate: RGB over the frame, shape [H, W, 3]. weight: the paste matte as the host got it, shape [H, W].
    left_over: names of temporary things that are still in the comp.
    """

    folder: Path

    def submit(self, settings: dict[str, Any], until: Until) -> JobState: ...
    def cancel_when(self, settings: dict[str, Any], until: Until) -> JobState: ...
    def refusal(self, settings: dict[str, Any]) -> str: ...
    def reopen(self, until: Until) -> JobState: ...
    def disconnect(self, what: str) -> None: ...
    def break_render(self) -> None: ...
    def shown(self, frame: int) -> np.ndarray: ...
    def plate(self, frame: int) -> np.ndarray: ...
    def weight(self, frame: int) -> np.ndarray: ...
    def left_over(self) -> List[str]: ...


def is_done(state: JobState) -> bool:
    return state.phase == "done"


def is_over(state: JobState) -> bool:
    return state.phase in ("done", "failed", "cancelled")


def job_of(state: JobState) -> Job:
    return JobFile.read(Path(Sequence.parse(state.output).folder) / "job.json").job


def delivered(state: JobState, frame: int) -> np.ndarray:
    channels = read_frame(Sequence.parse(state.output).path(frame)).picture.channels
    return np.stack([channels[name] for name in "RGB"], -1).astype(np.float32)


def only_the_pasted_area_changes(host: HostUnderTest) -> None:
    state = host.submit({"feather": 0}, is_done)
    assert state.ready == f"{FRAMES[0]}-{FRAMES[-1]}"
    for frame in FRAMES:
        shown, plate, weight = host.shown(frame), host.plate(frame), host.weight(frame)
        assert set(np.unique(weight)) <= {0.0, 1.0} and weight.any()
        assert np.array_equal(shown[weight == 0], plate[weight == 0])
        assert np.array_equal(shown, delivered(state, frame))
        assert np.abs(shown - plate).max() > 0.05
    assert host.left_over() == []


def the_panel_reaches_the_job(host: HostUnderTest) -> None:
    settings = {"seed": 7, "dilate": 2, "feather": 1, "grain": False, "handles": 1, "prompt": "an empty wall"}
    state = host.submit({**settings, "frames_from": "custom", "frames": "1003-1005"}, is_done)
    job = job_of(state)
    assert {name: getattr(job, name) for name in settings} == settings
    assert str(job.frames) == state.frames == state.ready == "1003-1005"
    assert sorted(job.mattes) == ["affected", "remove"]


def every_submission_is_a_version(host: HostUnderTest) -> None:
    first, second = host.submit({}, is_done), host.submit({"seed": 1}, is_done)
    assert first.id != second.id
    folders = [Path(Sequence.parse(state.output).folder) for state in (first, second)]
    assert [folder.name[-5:] for folder in folders] == ["_v001", "_v002"]
    for state, folder in zip((first, second), folders):
        assert len(list(folder.glob("*.exr"))) == len(FRAMES) and JobFile.read(folder / "job.json").id == state.id
    assert np.array_equal(host.shown(FRAMES[2]), delivered(second, FRAMES[2]))


def a_reopened_comp_shows_its_job(host: HostUnderTest) -> None:
    state = host.submit({}, is_done)
    again = host.reopen(is_done)
    assert (again.id, again.output, again.ready) == (state.id, state.output, state.ready)
    assert np.array_equal(host.shown(FRAMES[3]), delivered(state, FRAMES[3]))


def a_job_continues_while_the_host_is_closed(host: HostUnderTest) -> None:
    state = host.submit({}, lambda state: state.phase in ("queued", "running", "done"))
    again = host.reopen(is_done)
    assert again.id == state.id and np.array_equal(host.shown(FRAMES[5]), delivered(again, FRAMES[5]))


def a_job_is_cancelled(host: HostUnderTest) -> None:
    state = host.cancel_when({}, lambda state: state.phase in ("queued", "running"))
    assert state.phase in ("cancelled", "done")  # done: it was faster than the button
    assert host.left_over() == []


def a_job_for_the_farm_is_whole(host: HostUnderTest) -> None:
    state = host.submit({"where": "farm"}, lambda state: state.phase == "handed_over" and "tasks done" in state.line)
    job = job_of(state)
    assert job.output == state.output and all(Sequence.parse(job.plate).path(frame).is_file() for frame in FRAMES)
    assert state.farm == f"openjd {FARM_JOB}"
    assert host.left_over() == []


def a_space_that_the_server_does_not_know_fails_the_job(host: HostUnderTest) -> None:
    state = host.submit({"colorspace": "ARRI Reveal"}, is_over)
    assert state.phase == "failed" and "The server cannot use this colour space" in state.line


def missing_roto_is_reported(host: HostUnderTest) -> None:
    host.disconnect("roto")
    assert "remove" in host.refusal({}).lower()
    _nothing_happened(host)


def a_missing_plate_is_reported(host: HostUnderTest) -> None:
    host.disconnect("plate")
    assert "plate" in host.refusal({}).lower()
    _nothing_happened(host)


def a_range_that_cannot_be_read_is_reported(host: HostUnderTest) -> None:
    assert "frame range" in host.refusal({"frames_from": "custom", "frames": "1001-"}).lower()
    _nothing_happened(host)


def frames_outside_the_plate_are_reported(host: HostUnderTest) -> None:
    message = host.refusal({"frames_from": "custom", "frames": "1001-1020"})
    assert "1009-1020" in message, message
    _nothing_happened(host)


def an_output_folder_that_is_a_file_is_reported(host: HostUnderTest) -> None:
    (host.folder / "taken").touch()
    assert "output folder" in host.refusal({"folder": str(host.folder / "taken")}).lower()
    _nothing_happened(host)


def a_render_that_breaks_leaves_nothing(host: HostUnderTest) -> None:
    host.break_render()
    assert host.refusal({})
    _nothing_happened(host)


def _nothing_happened(host: HostUnderTest) -> None:
    assert host.left_over() == []
    assert not list(host.folder.glob("void/*_v*"))


SCENARIOS = (
    only_the_pasted_area_changes,
    the_panel_reaches_the_job,
    every_submission_is_a_version,
    a_reopened_comp_shows_its_job,
    a_job_continues_while_the_host_is_closed,
    a_job_is_cancelled,
    a_job_for_the_farm_is_whole,
    a_space_that_the_server_does_not_know_fails_the_job,
    missing_roto_is_reported,
    a_missing_plate_is_reported,
    a_range_that_cannot_be_read_is_reported,
    frames_outside_the_plate_are_reported,
    an_output_folder_that_is_a_file_is_reported,
    a_render_that_breaks_leaves_nothing,
)
