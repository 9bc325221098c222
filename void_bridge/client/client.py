"""Submitting a job, watching it, and bringing its frames home."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Callable, Iterator, List, Optional, Tuple, Type

from void_bridge import hooks
from void_bridge.client.connector import Connector
from void_bridge.client.fetch import Fetcher, OnFrame
from void_bridge.client.inputs import OnProgress
from void_bridge.client.session import RETURN_S, ClientSession
from void_bridge.client.submit import submit
from void_bridge.client.watch import Event, watch
from void_bridge.config import Config
from void_bridge.errors import ProtocolError, VersionMismatch
from void_bridge.job import Job
from void_bridge.protocol import messages as m
from void_bridge.protocol.messages import JobStatus, Result, ServerStatus, Welcome


def _no_notice(text: str) -> None:
    pass


def _no_progress(stage: str, done: int, total: int) -> None:
    pass


def ignore_frame(frame: int, path: Path) -> None:
    pass


def connect(
    config: Config,
    url: Optional[str] = None,
    *,
    autostart: bool = True,
    notice: Callable[[str], None] = _no_notice,
    patience_s: float = RETURN_S,
) -> Client:
    """A client of the server at `url` (default: `config.connect`, else the local one).

    Args:
        autostart: start a local server if none answers, unless `config.autostart` is off.
        notice: told in words when something takes longer: a server starts, or does not answer.
        patience_s: how long a server that goes away is waited for.

    Raises:
        NoServer, VersionMismatch, Refused
    """
    config = config.replace(connect=url) if url else config
    link = Connector(config, autostart and config.autostart, notice)
    try:
        return Client(ClientSession(config, link, notice, patience_s))
    except BaseException:
        link.close()
        raise


class Client:
    """One thread may call anything while others watch or fetch.

    A server that goes away is waited for, by default for a minute, and started again where it was a local one;
    then NoServer is raised, which every method may raise.
    """

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._fetcher = Fetcher(session)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Jobs go on without this client. A fetch in another thread ends after the frame at hand; end a watch first."""
        if self._fetcher.stop():
            self._session.link.close()

    @property
    def server(self) -> Welcome:
        """What the server said about itself."""
        return self._session.welcome

    def submit(
        self,
        job: Job,
        *,
        id: Optional[str] = None,
        transport: Optional[str] = None,
        priority: Optional[int] = None,
        overwrite: bool = False,
        claim: bool = True,
        on_progress: OnProgress = _no_progress,
    ) -> JobStatus:
        """Hand a job over. Returns once everything that it reads is durable on the server.

        The same job again goes on where it was, unless it failed or was cancelled. `job.json` beside
        the output holds its number from the moment the server knows the job.

        Args:
            id: of the job; default: that of the same job in its output folder, else a new one.
            transport: auto, inline or path; default: as configured.
            priority: 0 to 100, the highest goes first; default: as configured.
            overwrite: the output folder may hold another job's frames; they are replaced.
            claim: call the site's hooks, and make the output folder this job's. Off for a part of a job whose folder
                has an owner already.
            on_progress: told stage ("hash" in files, "send" in bytes), done and total.

        Raises:
            MissingFrames, UnreadableFile: of the plate and the mattes.
            OutputError: the plate would be overwritten, or the folder is another job's.
            Refused: the server does not take the job.
        """
        config = self._session.config
        job = hooks.prepare_job(job, config) if claim else job
        chosen = config.priority if priority is None else priority
        return submit(self._session, job, id, transport or config.transport, chosen, overwrite, claim, on_progress)

    def watch(self, id: str, previews: bool = False) -> Iterator[Event]:
        """States of a job, at most five a second, the last one final; with `previews` pictures in between.

        Raises:
            UnknownJob
        """
        return watch(self._session, id, previews)

    def fetch(
        self,
        id: str,
        output: Optional[str] = None,
        *,
        overwrite: bool = False,
        claim: bool = True,
        on_frame: OnFrame = ignore_frame,
    ) -> List[Path]:
        """Write every published frame that is not there yet, and once the job is done `report.json`.

        Args:
            output: another pattern than the job's own.
            claim: as for `submit`; without it frames are written and nothing else.
            on_frame: told number and path of each frame that was written.

        Returns:
            The paths of all frames that are published so far.

        Raises:
            UnknownJob. OutputError: the folder is another job's, or a file there is not the job's.
            DiskFull: nothing half-written is left.
        """
        return self._fetcher.fetch(id, output, overwrite, claim, on_frame)

    def result(self, id: str) -> Result:
        """What a job has published so far. Raises UnknownJob."""
        return self._session.ask(m.GetResult(id), m.Result)

    def status(self, id: str) -> JobStatus:
        """Raises UnknownJob."""
        return self._session.ask(m.GetStatus(id), m.StatusReply).status

    def cancel(self, id: str) -> JobStatus:
        """Raises UnknownJob."""
        return self._session.ask(m.Cancel(id), m.StatusReply).status

    def jobs(self, limit: int = 100) -> Tuple[JobStatus, ...]:
        return self._session.ask(m.ListJobs(limit), m.JobList).jobs

    def server_status(self) -> ServerStatus:
        """How the server is: memory, spool, workers. Raises VersionMismatch: it is from before protocol 1.1."""
        try:
            return self._session.ask(m.GetServerStatus(), m.ServerStatus)
        except ProtocolError as exc:
            server = self.server
            if server.protocol == m.PROTOCOL_VERSION:
                raise
            raise VersionMismatch(
                f"{server.server} speaks protocol {server.protocol} and cannot say how it is, which takes "
                f"{m.PROTOCOL_VERSION}; install the same version of void-bridge there, and start it again"
            ) from exc

    def free(self) -> int:
        """Have idle workers give their device memory back. Returns how many will."""
        return self._session.ask(m.Free(), m.Freed).workers

    def ping(self) -> float:
        """Seconds that the server took to answer."""
        began = time.monotonic()
        self._session.ask(m.Ping(), m.Pong)
        return time.monotonic() - began
