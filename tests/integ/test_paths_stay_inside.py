"""The `path` transport: the files that a client names must be inside the server's roots, links followed."""

import os
import socket
from dataclasses import replace

import numpy as np
import pytest

from gpu_server.server.inputs import check_config
from gpu_server.worker.clips import open_shot
from tests.support.live_server import Client, eventually, make_plate, make_submit, running, settings
from void_bridge.errors import ColourError, InputError, MissingFrames, Refused, UnreadableFile, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource, new_job_id
from void_bridge.pixels.exr import write_simple
from void_bridge.protocol.messages import InputFile, Ping, Pong, Submit

SIZE = 3000
MATTE = MatteSource("/q.####.exr", "A")


@pytest.fixture
def roots(tmp_path):
    return tmp_path / "show"


@pytest.fixture
def server(tmp_path, roots):
    make_plate(roots / "plates")
    make_plate(tmp_path / "private")
    with running(settings(tmp_path, roots=(str(roots),))) as server:
        yield server


@pytest.fixture
def client(server):
    with Client.of(server.settings) as client:
        yield client


def submit_of(path, size=SIZE):
    """Return a job over one file."""
    job = Job("/p.####.exr", FrameRange.parse("1001"), "/o.####.exr", Colour("ACEScg", "ocio://studio"), quadmask=MATTE)
    return Submit(new_job_id(), job, (InputFile(path, size),), "path")


OUTSIDE = {
    "plainly": lambda roots, private: str(private),
    "up and down": lambda roots, private: f"{roots}/plates/../../private/{private.name}",
    "up beyond the top": lambda roots, private: "/.." * 40 + str(private),
    "a link to a file": lambda roots, private: link(roots / "a.exr", private),
    "a link to a folder": lambda roots, private: link(roots / "a", private.parent) + "/" + private.name,
    "a link to a link": lambda roots, private: link(roots / "b", link(roots / "a", private)),
    "a link upwards": lambda roots, private: link(roots / "a", "../private") + "/" + private.name,
    "the root's name and more": lambda roots, private: f"{roots}-other/plate.1001.exr",
    "another case": lambda roots, private: f"{roots.parent}/SHOW/plates/plate.1001.exr",
    "through /proc": lambda roots, private: f"/proc/self/root{private}",
    "through /proc's cwd": lambda roots, private: f"/proc/self/cwd/{private.name}",
    "an open file of the server": lambda roots, private: "/proc/self/fd/0",
    "the server's memory": lambda roots, private: "/proc/self/environ",
    "a link to the server's memory": lambda roots, private: link(roots / "a.exr", "/proc/self/environ"),
    "a device": lambda roots, private: "/dev/zero",
    "a link to a device": lambda roots, private: link(roots / "a.exr", "/dev/zero"),
    "what is not there": lambda roots, private: "/no/such/file",
    "a relative path": lambda roots, private: "plates/plate.1001.exr",
    "nothing": lambda roots, private: "",
    "a NUL": lambda roots, private: f"{roots}/plates/plate.1001.exr\0.exr",
    "a home": lambda roots, private: "~/.ssh/id_ed25519",
    "a URL": lambda roots, private: f"file://{private}",
}


def link(place, target):
    place.symlink_to(target)
    return str(place)


def answer_to(client, submit):
    """Return the class of the error with which a submission is answered; the server goes on."""
    try:
        client.submit(submit)
        return None
    except VoidBridgeError as exc:
        return type(exc)
    finally:
        assert client.control.ask(Ping()) == Pong()


def test_a_file_outside_is_refused(client, roots, tmp_path):
    answers = {}
    for way, path_of in OUTSIDE.items():
        answers[way] = answer_to(client, submit_of(path_of(roots, tmp_path / "private" / "plate.1001.exr")))
        for path in roots.iterdir():
            if path.is_symlink():
                path.unlink()
    assert answers == dict.fromkeys(OUTSIDE, Refused)


INSIDE = {
    "a folder": (lambda roots: str(roots / "plates"), InputError),
    "the root": (lambda roots: str(roots), InputError),
    "a pipe": (lambda roots: made(roots / "pipe", os.mkfifo), InputError),
    "a socket": (lambda roots: made(roots / "s", lambda path: bound(path)), InputError),
    "another size": (lambda roots: made(roots / "short.exr", lambda path: path.write_bytes(b"x")), InputError),
    "a name that no disk takes": (lambda roots: str(roots / ("x" * 300)), UnreadableFile),
    "a path that no system takes": (lambda roots: str(roots) + "/x" * 5_000_000, Refused),
    "links in a ring": (lambda roots: link(roots / "ring", roots / "ring"), UnreadableFile),
    "what is not there": (lambda roots: str(roots / "none.exr"), MissingFrames),
}


def made(path, make):
    make(path)
    return str(path)


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def test_a_path_inside_that_is_no_file_of_that_size_is_reported(client, roots, monkeypatch):
    monkeypatch.chdir(roots)
    answers = {what: answer_to(client, submit_of(make(roots))) for what, (make, _) in INSIDE.items()}
    assert answers == {what: expected for what, (_, expected) in INSIDE.items()}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="making a device needs root")
def test_a_device_inside_the_roots_stalls_nothing(client, roots):
    try:
        os.mknod(roots / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device is not allowed here, even to root")
    with pytest.raises(InputError, match="is not a file"):
        client.submit(submit_of(str(roots / "zero"), 0))


def test_files_outside_the_roots_cannot_be_probed(client, tmp_path):
    """The answer is the same for a file that exists and one that does not."""
    said = []
    for name in ("plate.1001.exr", "none.1001.exr"):
        with pytest.raises(Refused) as error:
            client.submit(submit_of(str(tmp_path / "private" / name)))
        said.append(error.value.message.replace(name, "NAME"))
    assert said[0] == said[1]


def test_a_link_that_stays_inside_is_followed(client, roots):
    link(roots / "current", roots / "plates")
    submit = make_submit(str(roots / "current" / "plate.####.exr"), "path")
    client.submit(submit)
    assert client.reaches(submit.id, "done").frames_done == 4


def test_a_hard_link_is_the_file_itself(client, roots, tmp_path):
    """docs/reference/security.md explains it: a user who may make one inside the roots could have read the file."""
    os.link(tmp_path / "private" / "plate.1001.exr", roots / "plates" / "hard.exr")
    client.submit(submit_of(str(roots / "plates" / "hard.exr")))


# --- a folder that becomes a link -----------------------------------------------------------------


def swap(roots, tmp_path):
    """Replace a folder that was checked with a link to files outside that look the same."""
    for path in (roots / "plates").iterdir():
        facts = path.stat()
        os.utime(tmp_path / "private" / path.name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (roots / "plates").rename(roots / "gone")
    (roots / "plates").symlink_to(tmp_path / "private")


def test_a_folder_swapped_before_a_job_starts_fails_it(client, roots, tmp_path):
    gate = tmp_path / "gate"
    first = make_submit(make_plate(tmp_path / "show" / "other"), gate=str(gate))
    client.upload(first)
    client.reaches(first.id, "running")
    submit = make_submit(str(roots / "plates" / "plate.####.exr"), "path")
    client.submit(submit)
    swap(roots, tmp_path)
    gate.touch()
    status = client.reaches(submit.id, "failed")
    assert (status.error.code, status.frames_done) == ("refused", 0) and "became a link" in status.error.message


def test_a_folder_swapped_while_a_job_runs_fails_it(client, roots, tmp_path):
    gate = tmp_path / "gate"
    submit = make_submit(str(roots / "plates" / "plate.####.exr"), "path", end_gate=str(gate))
    client.submit(submit)
    eventually(lambda: client.status(submit.id).frames_done == 4)
    swap(roots, tmp_path)
    gate.touch()
    status = client.reaches(submit.id, "failed")
    assert status.error.code == "refused" and "became a link" in status.error.message


@pytest.mark.parametrize("by_path", [True, False])
def test_a_worker_reads_no_frame_through_a_folder_that_became_a_link(tmp_path, by_path):
    """The second case shows that the trap works without the check of each frame."""
    for folder, value in (("plates", 0.25), ("private", 0.75)):
        for frame in (1, 2):
            planes = {name: np.full((4, 6), value, np.float32) for name in "RGB"}
            write_simple(tmp_path / folder / f"p.000{frame}.exr", planes)
    pattern = str(tmp_path / "plates" / "p.####.exr")
    matte = MatteSource(pattern, "R")
    job = Job(pattern, FrameRange.parse("1-2"), "/o.####.exr", Colour("ACEScg", "ocio://studio"), remove=matte)
    names = [pattern.replace("####", f"000{frame}") for frame in (1, 2)]
    shot = open_shot(job, {name: os.path.realpath(name) for name in names}, by_path)
    assert shot.load(0).rgb()[0, 0, 0] == 0.25
    (tmp_path / "plates").rename(tmp_path / "gone")
    (tmp_path / "plates").symlink_to(tmp_path / "private")
    if by_path:
        with pytest.raises(Refused, match="became a link"):
            shot.load(1)
    else:
        assert shot.load(1).rgb()[0, 0, 0] == 0.75


# --- colour configs -------------------------------------------------------------------------------


CONFIGS = {
    "a device": ("/dev/zero", "0" * 64),
    "a pipe": ("pipe", "0" * 64),
    "a folder": ("plates", "0" * 64),
    "a file outside the roots whose hash the client does not say": ("../secret", ""),
    "a NUL": ("a\0b", "0" * 64),
    "no file": ("none.ocio", "0" * 64),
}


def test_a_colour_config_that_is_no_file_that_the_client_knows_fails_the_job(client, roots):
    os.mkfifo(roots / "pipe")
    (roots.parent / "secret").write_text("password: x")
    answers = {}
    for what, (name, config_hash) in CONFIGS.items():
        submit = make_submit(str(roots / "plates" / "plate.####.exr"))
        colour = Colour("ACEScg", f"{roots}/{name}" if "/" not in name else name, config_hash)
        submit = replace(submit, job=submit.job.replace(colour=colour))
        client.upload(submit)
        error = client.reaches(submit.id, "failed").error
        answers[what] = error.code
        assert "password" not in error.message
    assert answers == dict.fromkeys(CONFIGS, "colour")


def test_a_colour_config_inside_the_roots_needs_no_hash(server, roots):
    """The config of a site is an example: an artist's host names it, and the server alone sees it."""
    (roots / "show.ocio").write_text("ocio")
    check_config(Colour("ACEScg", f"{roots}/show.ocio"), (str(roots),))
    with pytest.raises(ColourError, match="without its hash"):
        check_config(Colour("ACEScg", f"{roots}/show.ocio"), ())
