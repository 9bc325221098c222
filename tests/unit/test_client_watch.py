from __future__ import annotations

from void_bridge.client.watch import PING_S, SILENCE_S, Heartbeat


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_pings_keep_their_pace_whatever_is_heard():
    clock = Clock()
    beat = Heartbeat(clock)
    pings = 0
    for _ in range(10 * 8):
        clock.now += PING_S / 8
        beat.heard()
        pings += beat.is_due()
    assert pings == 10
    assert 0 < beat.wait_s() <= PING_S


def test_a_server_counts_as_lost_when_nothing_is_heard():
    clock = Clock()
    beat = Heartbeat(clock)
    clock.now += SILENCE_S
    assert not beat.is_lost()
    clock.now += 0.1
    assert beat.is_lost()
    beat.heard()
    assert not beat.is_lost()


def test_a_watcher_that_was_away_asks_anew():
    clock = Clock()
    beat = Heartbeat(clock)
    clock.now += SILENCE_S + 1
    assert beat.overslept()
    assert beat.is_due()
    assert not beat.overslept()
