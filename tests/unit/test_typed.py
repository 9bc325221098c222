"""Dataclasses from plain data, checked on the way in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Dict, Literal, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from void_bridge.errors import ConfigError, FrameRangeError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.typed import from_plain, nearest, to_plain


@dataclass(frozen=True)
class Inner:
    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class Outer:
    count: int
    frames: FrameRange
    mode: Literal["fast", "good"] = "good"
    inner: Optional[Inner] = None
    many: Tuple[Inner, ...] = ()
    numbers: Tuple[int, ...] = ()
    table: Dict[str, float] = field(default_factory=dict)
    blob: bytes = b""
    on: bool = False
    anything: object = None


FULL = Outer(
    count=3,
    frames=FrameRange([1, 2, 3]),
    mode="fast",
    inner=Inner("a"),
    many=(Inner("b", 0.5), Inner("c")),
    numbers=(1, -2),
    table={"x": 1.5},
    blob=b"\0\xff",
    on=True,
    anything=[1, {"deep": None}],
)
LEAST = {"count": 3, "frames": "1-3"}


def test_a_dataclass_survives_conversion_to_plain_data():
    assert from_plain(Outer, to_plain(FULL)) == FULL
    assert from_plain(Outer, LEAST) == Outer(3, FrameRange([1, 2, 3]))


def test_plain_data_is_what_json_holds():
    plain = to_plain(FULL)
    del plain["blob"]
    assert from_plain(Outer, json.loads(json.dumps(plain))).inner == FULL.inner


@given(st.builds(Inner, st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_any_text_and_number_comes_back(inner):
    assert from_plain(Inner, to_plain(inner)) == inner


def test_a_whole_number_is_a_number():
    weight = from_plain(Inner, {"name": "a", "weight": 2}).weight
    assert weight == 2.0 and isinstance(weight, float)


def test_unknown_fields_are_ignored_on_the_wire():
    assert from_plain(Inner, {"name": "a", "since_version_9": 1}) == Inner("a")


def test_unknown_fields_are_refused_in_files_and_the_nearest_named():
    with pytest.raises(ConfigError, match=r"site.toml: unknown field 'wieght'; did you mean 'weight'?"):
        from_plain(Inner, {"name": "a", "wieght": 1}, where="site.toml", strict=True, error=ConfigError)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": "3"}, "job.count: got str '3', expected a whole number"),
        ({"count": True}, "job.count: got True, expected a whole number"),
        ({"count": 3.0}, "job.count: got float 3.0, expected a whole number"),
        ({"count": None}, "job.count: got NoneType None, expected a whole number"),
        ({"count": 2**63}, "job.count: got 9223372036854775808, which does not fit 64 bits"),
        ({"frames": "1-"}, "job.frames: cannot read frame range '1-'"),
        ({"frames": 7}, "job.frames: got int 7, expected text"),
        ({"mode": "slow"}, "job.mode: got 'slow', expected one of fast, good"),
        ({"mode": ["fast"]}, r"job.mode: got \['fast'\], expected one of"),
        ({"inner": {}}, "job.inner: field 'name' is missing"),
        ({"inner": {"name": 1}}, "job.inner.name: got int 1, expected text"),
        ({"inner": []}, r"job.inner: got list \[\], expected a table of fields"),
        ({"many": [{"name": "a"}, {}]}, r"job.many\[1\]: field 'name' is missing"),
        ({"many": {"name": "a"}}, "job.many: got dict .*, expected a list"),
        ({"numbers": [1, "2"]}, r"job.numbers\[1\]: got str '2', expected a whole number"),
        ({"numbers": "12"}, "job.numbers: got str '12', expected a list"),
        ({"table": {"x": "y"}}, "job.table.x: got str 'y', expected a number"),
        ({"table": {1: 1.0}}, "job.table: got int 1, expected text"),
        ({"table": {"x": float("nan")}}, "job.table.x: got nan, expected a finite number"),
        ({"table": {"x": float("-inf")}}, "job.table.x: got -inf, expected a finite number"),
        ({"blob": "text"}, "job.blob: got str 'text', expected bytes"),
        ({"on": 1}, "job.on: got int 1, expected true or false"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, message):
    with pytest.raises(UsageError, match=message):
        from_plain(Outer, {**LEAST, **change}, where="job")


@pytest.mark.parametrize("data", [None, 3, "text", [1], [["count", 3]]])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(UsageError, match="expected a table of fields"):
        from_plain(Outer, data)


def test_a_missing_field_is_named():
    with pytest.raises(UsageError, match="Outer: field 'frames' is missing"):
        from_plain(Outer, {"count": 3})


def test_the_error_is_the_one_asked_for():
    with pytest.raises(ConfigError) as caught:
        from_plain(Outer, {"count": 3, "frames": "x"}, error=ConfigError)
    assert isinstance(caught.value.__cause__, FrameRangeError)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(UsageError) as caught:
        from_plain(Outer, {**LEAST, "count": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_strictness_reaches_into_tables():
    with pytest.raises(UsageError, match=r"job.inner: unknown field 'nam'"):
        from_plain(Outer, {**LEAST, "inner": {"name": "a", "nam": 1}}, where="job", strict=True)


def test_nearest_offers_up_to_three():
    assert nearest("remov", ["remove", "affected"]) == "; did you mean 'remove'?"
    assert nearest("a1", ["a2", "a3", "a4", "a5"]).count(" or ") == 2
    assert nearest("zzz", ["remove"]) == ""
