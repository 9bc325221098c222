"""Sizes are WIDTHxHEIGHT; the old order of a canvas is said, and never swapped in silence."""

from __future__ import annotations

import logging

import pytest

from void_bridge.errors import UsageError
from void_bridge.resolution import Resolution


def test_a_size_is_width_and_height():
    assert Resolution.parse("1080x1920") == (1080, 1920)
    assert str(Resolution(1920, 1080)) == "1920x1080"


@pytest.mark.parametrize("text", ["", "1920", "1920*1080", "0x1080", "1920x-1", "1920x1080x3", "hd"])
def test_a_text_that_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match=r"expected WIDTHxHEIGHT in pixels, such as 1920x1080"):
        Resolution.parse(text)


@pytest.mark.parametrize(
    ("text", "size"), [("672x384", (672, 384)), ("512x512", (512, 512)), ("384wx672h", (384, 672))]
)
def test_a_canvas_is_width_and_height(text, size, caplog):
    found = Resolution.parse_canvas(text)
    assert found == size and found.canvas_text() == text
    assert not caplog.records


def test_the_old_order_of_a_canvas_is_read_with_a_warning(caplog):
    assert Resolution.parse_canvas("384x672") == (672, 384)
    ((_, level, words),) = caplog.record_tuples
    assert level == logging.WARNING
    assert words == "canvas: read 384x672 in the old order, height x width; write 672x384, or 384wx672h for a portrait"


@pytest.mark.parametrize("text", ["100x100", "8x8", "672x380", "large", "100000x100000"])
def test_a_canvas_is_in_multiples_of_16(text):
    with pytest.raises(UsageError, match=r"canvas: got '.*', expected WIDTHxHEIGHT in multiples of 16 up to 99984"):
        Resolution.parse_canvas(text)


@pytest.mark.parametrize("text", ["384x672", "672x384", "512x512"])
def test_jobs_keep_height_and_width(text, caplog):
    size = Resolution.from_stored(text)
    assert size.stored() == text and "x".join(map(str, size.shape)) == text
    assert Resolution.parse_canvas(size.canvas_text()) == size
    assert not caplog.records
