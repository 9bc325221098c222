"""A worked example: a metric that shows which share of the workers is busy.

Run it, and it prints the metric from the page of a server of its own. In VOID Bridge the one declaration stands in
`METRICS` of `gpu_server/server/metrics.py`.
"""

from __future__ import annotations

import socket
import tempfile
import urllib.request
from pathlib import Path

from gpu_server.server.app import Server
from gpu_server.server.metrics import METRICS, StatusMetric
from gpu_server.server.settings import ServerSettings
from void_bridge.config import Config

METRICS.append(
    StatusMetric(
        "busy_workers_ratio",
        "Share of the workers that have a job.",
        lambda status: sum(worker.state == "running" for worker in status.workers) / len(status.workers),
    )
)


def main() -> None:
    """Print the metric, as Prometheus reads it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Config(spool=Path(folder, "spool"), runtime_dir=Path(folder, "run"), metrics_port=port)
        server = Server(ServerSettings.from_config(config))
        server.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                lines = page.read().decode().splitlines()
            print("\n".join(line for line in lines if "busy_workers_ratio" in line))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
