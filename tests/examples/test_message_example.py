"""The worked example of a message: asked by hand, and of a server with a job."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from functools import singledispatchmethod
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from gpu_server.server.control import ControlLoop
from tests.support.live_server import DEADLINE_S, REPOSITORY, Client, make_plate, make_submit, running, settings
from void_bridge.protocol.messages import MESSAGES

EXAMPLE = REPOSITORY / "examples/message.py"


@contextmanager
def loaded_example():
    """Load the module, and take its messages and its handler back at the end."""
    before, handle = dict(MESSAGES), vars(ControlLoop)["handle"]
    ControlLoop.handle = singledispatchmethod(handle.func)
    for message_type, handler in handle.dispatcher.registry.items():
        ControlLoop.handle.register(message_type, handler)
    spec = spec_from_file_location("message_example", EXAMPLE)
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    ControlLoop.handle = handle
    MESSAGES.clear()
    MESSAGES.update(before)


@pytest.fixture
def example():
    with loaded_example() as module:
        yield module


def test_the_example_leaves_no_message_and_no_handler():
    with loaded_example() as module:
        assert module.GetUserWork in vars(ControlLoop)["handle"].dispatcher.registry
    assert module.GetUserWork not in vars(ControlLoop)["handle"].dispatcher.registry
    assert "get_user_work" not in MESSAGES


def test_a_server_answers_a_message_with_one_dataclass_and_one_handler(tmp_path, example):
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        job_id = client.upload(make_submit(make_plate(tmp_path / "plate"), user="anna")).status.id
        client.reaches(job_id, "done")
        assert client.control.ask(example.GetUserWork("anna")) == example.UserWork(jobs=1, frames=4)
        assert client.control.ask(example.GetUserWork("ben")) == example.UserWork()


def test_the_example_runs_as_it_is():
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, "UserWork(jobs=0, frames=0)\n"), done.stderr
