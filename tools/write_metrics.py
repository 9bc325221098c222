"""Writes docs/reference/metrics.md from the metrics that a server declares."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from gpu_server.server.counters import Counters
from gpu_server.server.metrics import METRICS
from tools.page import NOTE, REFERENCE, table

PAGE = REFERENCE / "metrics.md"
HEAD = f"""# Metrics

{NOTE}

A server with `--metrics-port` shows these on `http://127.0.0.1:PORT/metrics`, for Prometheus:
[Servers](../wranglers/operations.md#metrics) has the setup and the alerts. All names begin with `void_bridge_`.
Counters and histograms begin at 0 when the server starts. No label carries the name of a user, a job or a file.

"""
INFO = ("`info`", "gauge", "`version`", "The server's version; the value is always 1.")


def metrics_page() -> str:
    """Return docs/reference/metrics.md."""
    rows = [INFO]
    for metric in METRICS:
        name, kind = (f"{metric.name}_total", "counter") if metric.is_counter else (metric.name, "gauge")
        rows.append((f"`{name}`", kind, f"`{metric.label}`" if metric.label else "", metric.text))
    for instrument in vars(Counters()).values():
        if isinstance(instrument, (Counter, Histogram)):
            (family,) = instrument.describe()
            name = family.name.removeprefix("void_bridge_") + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in instrument._labelnames)
            rows.append((f"`{name}`", family.type, labels, family.documentation))
    return HEAD + table(("name", "kind", "labels", "meaning"), rows)
