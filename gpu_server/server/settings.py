"""The settings of a server."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from gpu_server.engines import engine_names
from void_bridge.config import Config
from void_bridge.errors import UsageError

_LOOPBACK_HOSTS = {"127.0.0.1", "localhost"}


@dataclass(frozen=True)
class ServerSettings:
    """The settings of one server. Folders are absolute; times are in seconds.

    Attributes:
        spool: folder for jobs, their inputs and results.
        runtime_dir: folder for the files through which clients find the server.
        bind: URL to listen on.
        keys: folder of keys; needed if `bind` is not loopback.
        models: folder of model weights.
        threads: of each worker; 0: as many as there are cores.
        workers: number of worker processes.
        roots: folders that `path` transport may read; see `allowed_roots`.
        path_map: from clients' paths to this machine's.
        spool_limit_bytes: for blobs and frames; 0 is no limit.
        idle_free_s: an autostarted server gives its workers' memory back when it was idle for so long.
        idle_exit_s: it leaves when it was idle for so long.
        hang_s: a worker without progress for so long is replaced.
        cancel_grace_cpu_s: how long a cancelled worker on a CPU may take to its next safe point before it is killed.
        cancel_grace_gpu_s: the same on a GPU.
        ping_deadline_s: a client silent for so long has gone.
        upload_patience_s: an upload without a part for so long is given up.
        memory_bytes: what the process may take besides what it starts with, before connections are shut
            (connection_limiter.py); 0 is no limit.
        metrics_port: of 127.0.0.1, for Prometheus; 0 is none.
        autostarted: a client started this server, so that it leaves when idle and logs to a file.
        engines: names of the engines that jobs may ask for.
        worker_command: that starts a worker process.
    """

    spool: Path
    runtime_dir: Path
    bind: str = "tcp://127.0.0.1:*"
    keys: Path | None = None
    models: Path | None = None
    threads: int = 0
    workers: int = 1
    roots: tuple[str, ...] = ()
    path_map: tuple[str, ...] = ()
    spool_limit_bytes: int = 0
    idle_free_s: float = 120.0
    idle_exit_s: float = 1800.0
    hang_s: float = 600.0
    cancel_grace_cpu_s: float = 5.0
    cancel_grace_gpu_s: float = 30.0
    ping_deadline_s: float = 30.0
    upload_patience_s: float = 60.0
    memory_bytes: int = 2**30
    metrics_port: int = 0
    autostarted: bool = False
    engines: tuple[str, ...] = field(default_factory=engine_names)
    worker_command: tuple[str, ...] = (sys.executable, "-m", "gpu_server.worker")

    @classmethod
    def from_config(cls, config: Config, autostarted: bool = False) -> ServerSettings:
        """Return the settings that a configuration stands for."""
        return cls(
            spool=config.spool,
            runtime_dir=config.runtime_dir,
            bind=config.bind,
            keys=config.keys,
            models=config.models,
            threads=config.threads,
            workers=config.workers,
            roots=config.roots,
            path_map=config.path_map,
            spool_limit_bytes=int(config.spool_limit_gb * 1e9),
            idle_free_s=config.idle_free_s,
            idle_exit_s=config.idle_exit_s,
            hang_s=config.hang_s,
            metrics_port=config.metrics_port,
            autostarted=autostarted,
        )

    @property
    def allowed_roots(self) -> tuple[str, ...]:
        """The folders for `path` transport. On loopback each client is this user, who may read any file of theirs."""
        return self.roots or ((Path.cwd().anchor,) if is_loopback(self.bind) else ())


def split_bind(url: str) -> tuple[str, int | None]:
    """Return host and port of `tcp://HOST:PORT`; port `*` is None.

    Raises:
        UsageError: another scheme, no host, no port.
    """
    match = re.fullmatch(r"tcp://(\*|[A-Za-z0-9_.-]+):(\*|[0-9]{1,5})", url)
    if not match or match[2] == "0" or (match[2] != "*" and int(match[2]) > 65534):
        raise UsageError(f"cannot listen on {url!r}; expected tcp://HOST:PORT, for example tcp://127.0.0.1:5570")
    return match[1], None if match[2] == "*" else int(match[2])


def is_loopback(url: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    host, _ = split_bind(url)
    return host in _LOOPBACK_HOSTS
