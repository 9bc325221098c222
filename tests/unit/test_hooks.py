from __future__ import annotations

import pytest

from void_bridge.config import Config
from void_bridge.errors import ConfigError, Refused
from void_bridge.frames import FrameRange
from void_bridge.hooks import prepare_job
from void_bridge.job import Colour, Job, MatteSource

JOB = Job("p.####.exr", FrameRange([1]), "o.####.exr", Colour("ACEScg", "x"), remove=MatteSource("r.####.exr"))


def nothing(job):
    return None


def refuse(job):
    raise Refused("this shot is on hold")


def fail(job):
    raise KeyError("shot")


def number(job):
    return 3


def test_a_hook_may_return_none():
    assert prepare_job(JOB, Config(resolve_output=f"{__name__}:nothing", before_submit=f"{__name__}:nothing")) == JOB


def test_a_hook_may_refuse_a_job():
    with pytest.raises(Refused, match="on hold"):
        prepare_job(JOB, Config(before_submit=f"{__name__}:refuse"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{__name__}:fail", r"before_submit .*:fail failed: KeyError: 'shot'"),
        (f"{__name__}:number", "returned int, expected Job or None"),
        (f"{__name__}:missing", "expected module:function"),
        (f"{__name__}:JOB", "is Job, expected a function"),
        ("no_such_module:f", "expected module:function"),
        ("nonsense", "expected module:function"),
    ],
)
def test_a_hook_that_cannot_be_called_is_named(name, message):
    with pytest.raises(ConfigError, match=message):
        prepare_job(JOB, Config(before_submit=name))
