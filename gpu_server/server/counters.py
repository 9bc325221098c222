"""Counts of what a server has done since it started, as instruments of prometheus_client. Any thread may count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from void_bridge.protocol.messages import FINAL_STATES, JobState

JOB_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
ANSWER_SECONDS = (0.0005, 0.002, 0.01, 0.05, 0.1, 0.5, 2.0)
_SOCKETS = ("control", "data")


class Counters:
    """The counters and histograms of one server.

    A new one is one line here, and a call of its `inc` or `observe` where the event happens.

    Attributes:
        registry: all of them, for the metrics page.
    """

    def __init__(self, engines: tuple[str, ...] = ()) -> None:
        disable_created_metrics()  # `start_time_seconds` says since when everything is counted
        self._engines = engines
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"void_bridge_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, label: str, bounds: tuple[float, ...]) -> Histogram:
            return Histogram(f"void_bridge_{name}", text, [label], registry=registry, buckets=bounds)

        self.jobs_ended = counter("jobs_ended", "Jobs that ended, by final state.", "state")
        self.frames = counter("frames", "Frames published.")
        self.job_seconds = histogram(
            "job_seconds",
            "Running time of jobs that are done, over all attempts; `other`: an engine that this server does not have.",
            "engine",
            JOB_SECONDS,
        )
        self.answer_seconds = histogram(
            "answer_seconds", "Time from receiving a message to the end of its handling.", "socket", ANSWER_SECONDS
        )
        self.refused_messages = counter("refused_messages", "Errors sent, by code.", "socket", "code")
        self.shut_connections = counter(
            "shut_connections",
            "Connections that the server ended: too many without a handshake, or too much memory.",
            "socket",
        )
        self.turned_away_keys = counter("turned_away_keys", "Handshakes with a key that is not on the list.")
        for state in FINAL_STATES:  # a count that is there from the start, so that its increase can be seen
            self.jobs_ended.labels(state)
        for socket in _SOCKETS:
            self.shut_connections.labels(socket)
            self.answer_seconds.labels(socket)

    def job_ended(self, state: JobState, engine: str, seconds: float) -> None:
        """Count a job that has ended.

        Args:
            state: its final state.
            engine: as the worker named it; one that this server does not have is counted as `other`.
            seconds: its running time over all attempts.
        """
        self.jobs_ended.labels(state).inc()
        if state == "done":
            self.job_seconds.labels(engine if engine in self._engines else "other").observe(seconds)
