"""Every scenario of compliance.py against every host, over a real server with its real engine."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from host_plugins.control.state import JobState
from tests.hosts.compliance import SCENARIOS
from tests.hosts.farms import FakeFarm
from tests.hosts.fusion_shots import SPACE, FusionShot, rgb
from tests.hosts.nuke_comp import LAST_S, Comp
from tests.hosts.nuke_plugin import load, started, stop


class NukeHost:
    """A VOIDRemove in the fake of Nuke."""

    def __init__(self, comp: Comp) -> None:
        self.comp, self.folder = comp, comp.folder

    def submit(self, settings, until):
        self._press(settings)
        questions = 2 if settings.get("where") == "farm" else 0
        assert len(self.comp.fake.messages) == questions, self.comp.fake.messages
        self._wait(until)
        return self._state()

    def cancel_when(self, settings, until):
        self.submit(settings, until)
        self.comp.press("cancel")
        self._wait(lambda state: not state.is_alive)
        return self._state()

    def refusal(self, settings):
        self._press(settings)
        (message,) = self.comp.fake.messages
        return message

    def reopen(self, until):
        self.comp.nuke.scriptSave()
        stop()
        self.comp.fake.close_script()
        load(self.comp.fake)
        self.comp.fake.open(self.comp.script)
        self.comp.node = self.comp.nuke.toNode("VOIDRemove1")
        self._wait(until)
        return self._state()

    def disconnect(self, what):
        for index in {"plate": [0], "roto": [1, 2]}[what]:
            self.comp.node.setInput(index, None)

    def break_render(self):
        self.comp.node["own_files"].setValue(False)
        self.comp.fake.fail_execute_at(1004, "Read1: File truncated")

    def shown(self, frame):
        return self.comp.fake.render(self.comp.node, frame).rgb()

    def plate(self, frame):
        return self.comp.fake.render(self.comp.node.input(0), frame).rgb()

    def weight(self, frame):
        return self.comp.fake.render(self.comp.node, frame).plane("void_bridge.paste")

    def left_over(self):
        return [node.fullName() for node in self.comp.nuke.allNodes("Write", recurseGroups=True)]

    def _press(self, settings):
        for name, value in settings.items():
            self.comp.fake.user_sets(self.comp.node[name], value)
        if settings.get("where") == "farm":
            self.comp.nuke.scriptSave()
            self.comp.fake.answers[:] = [{}, True]
        self.comp.press("submit")

    def _wait(self, until):
        self.comp.fake.pump(lambda: until(self._state()), LAST_S)

    def _state(self) -> JobState:
        from host_plugins.nuke.result import jobs_of

        return jobs_of(self.comp.node).get("main", JobState())


class FusionHost:
    """The script of the Fusion page in the fake of Fusion, with its window."""

    def __init__(self, shot: FusionShot) -> None:
        self.shot, self.folder = shot, shot.folder
        self._without: list[str] = []

    def submit(self, settings, until):
        before = self.shot.state().id

        def steps(user):
            self._fill(user, settings)
            if settings.get("where") == "farm":
                self.shot.comp.save()
                self.shot.fake.answers[:] = [{}, {}]
            user.click("submit")
            user.until(lambda: self._is_there(before, until))

        self.shot.run_window(steps)
        return self.shot.state()

    def cancel_when(self, settings, until):
        before = self.shot.state().id

        def steps(user):
            self._fill(user, settings)
            user.click("submit")
            user.until(lambda: self._is_there(before, until))
            user.click("cancel")
            user.until(lambda: not self.shot.state().is_alive)

        self.shot.run_window(steps)
        return self.shot.state()

    def refusal(self, settings):
        messages = []

        def steps(user):
            self._fill(user, settings)
            user.click("submit")
            messages.append(user.text("status"))

        self.shot.run_window(steps)
        return messages[0]

    def reopen(self, until):
        self.shot.fake.reopen()

        def steps(user):
            user.until(lambda: self._is_there("", until))

        self.shot.run_window(steps)
        return self.shot.state()

    def disconnect(self, what):
        self._without = {"plate": ["plate"], "roto": ["remove", "affected"]}[what]

    def break_render(self):
        def broken(*_):
            raise RuntimeError("the render was broken")

        self.shot.comp.on_render = broken

    def shown(self, frame):
        return rgb(self.shot.loader("result").picture(frame))

    def plate(self, frame):
        return rgb(self.shot.comp.tool("plate").picture(frame))

    def weight(self, frame):
        picture = self.shot.loader("paste").picture(frame)
        return np.ascontiguousarray(picture.over(picture.frame).rgba[..., 3])

    def left_over(self):
        return [name for name in self.shot.savers() if name not in ("final", "old")]

    def _is_there(self, before, until):
        state = self.shot.state()
        if state.id == before or not until(state):
            return False
        return state.phase != "done" or self.shot.shows_result(before)

    def _fill(self, user, settings):
        for name, value in {"colorspace": SPACE, "engine": "propagate", **settings}.items():
            if isinstance(value, bool | int):
                user.set(name, value)
            elif name in ("frames_from", "engine", "where"):
                user.choose(name, value)
            else:
                user.type(name, value)
        for name in self._without:
            user.choose(f"tool_{name}", "(none)")


@contextmanager
def nuke_host(footage, folder):
    with started() as (fake, plugin):
        yield NukeHost(Comp(fake, plugin, footage, folder))


@contextmanager
def fusion_host(footage, folder):
    yield FusionHost(FusionShot(footage, folder))


HOSTS = {"nuke": nuke_host, "fusion": fusion_host}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_host_passes_the_scenario(scenario, host, served, footage, tmp_path, monkeypatch):
    FakeFarm(tmp_path / "farm", monkeypatch)  # what is not for the farm goes on to the real void-bridge
    with HOSTS[host](footage, tmp_path) as under_test:
        scenario(under_test)
