from __future__ import annotations

from void_bridge.client.watch import PING_S, SILENCE_S, Heartbeat


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_pings_keep_their_interval_when_messages_arrive():
    clock = Clock()
    heartbeat = Heartbeat(clock)
    pings = 0
    for _ in range(10 * 8):
        clock.now += PING_S / 8
        heartbeat.mark_heard()
        pings += heartbeat.take_due_ping()
    assert pings == 10
    assert 0 < heartbeat.seconds_to_ping() <= PING_S


def test_a_silent_server_counts_as_lost():
    clock = Clock()
    heartbeat = Heartbeat(clock)
    clock.now += SILENCE_S
    assert not heartbeat.is_lost()
    clock.now += 0.1
    assert heartbeat.is_lost()
    heartbeat.mark_heard()
    assert not heartbeat.is_lost()


def test_a_watcher_that_was_late_sends_its_request_again():
    clock = Clock()
    heartbeat = Heartbeat(clock)
    clock.now += SILENCE_S + 1
    assert heartbeat.is_late()
    assert heartbeat.take_due_ping()
    assert not heartbeat.is_late()
