"""The client of a server: submit a job, watch it, fetch its frames."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Callable, Iterator, List, Optional, Tuple, Type

from void_bridge import hooks
from void_bridge.client.connector import Connector
from void_bridge.client.fetch import Fetcher, OnFrame
from void_bridge.client.inputs import OnProgress
from void_bridge.client.session import PATIENCE_S, ClientSession
from void_bridge.client.submit import submit
from void_bridge.client.watch import Event, watch
from void_bridge.config import Config
from void_bridge.errors import ProtocolError, VersionMismatch
from void_bridge.job import Job
from void_bridge.protocol import messages as m
from void_bridge.protocol.messages import JobStatus, Result, ServerStatus, Welcome


def _ignore_notice(text: str) -> None:
    """Ignore a notice."""


def _ignore_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def ignore_frame(frame: int, path: Path) -> None:
    """Ignore a written frame."""


def connect(
    config: Config,
    url: Optional[str] = None,
    *,
    autostart: bool = True,
    notice: Callable[[str], None] = _ignore_notice,
    patience_s: float = PATIENCE_S,
) -> Client:
    """Connect to a server and return its client.

    Args:
        config: the configuration.
        url: URL of the server; default: `config.connect`, else the local server.
        autostart: start a local server if none answers, unless `config.autostart` is off.
        notice: called with a line of text when a server is started or does not answer.
        patience_s: seconds for which requests are repeated while the server does not answer.

    Raises:
        NoServer: no server answers.
        VersionMismatch: the server speaks another protocol version.
        Refused: the server does not know this user's key.
    """
    config = config.replace(connect=url) if url else config
    connector = Connector(config, autostart and config.autostart, notice)
    try:
        return Client(ClientSession(config, connector, notice, patience_s))
    except BaseException:
        connector.close()
        raise


class Client:
    """A client of one server. One thread may call any method while others watch or fetch.

    When the server stops answering, requests are repeated for a minute by default, and a local server is started again.
    After that every method may raise NoServer.
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
        """Close the connections. Jobs continue.

        A fetch in another thread ends after its current frame. A watch must have ended before.
        """
        if self._fetcher.stop():
            self._session.connector.close()

    @property
    def server(self) -> Welcome:
        """The server's answer to `hello`."""
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
        on_progress: OnProgress = _ignore_progress,
    ) -> JobStatus:
        """Submit a job. Returns once all files that it reads are durable on the server.

        Submitting the same job again continues it, unless it failed or was cancelled. `job.json` beside the output
        holds its id from the moment the server knows the job.

        Args:
            job: the job.
            id: its id; default: that of the same job in its output folder, else a new one.
            transport: auto, inline or path; default: as configured.
            priority: 0 to 100, the highest runs first; default: as configured.
            overwrite: replace frames of another job in the output folder.
            claim: call the site's hooks and make the output folder this job's. Off for a part of a job whose folder
                already belongs to the whole job.
            on_progress: called with the stage ("hash" counts files, "send" bytes), the steps done and their total.

        Raises:
            MissingFrames: of the plate or a matte.
            UnreadableFile: of the plate or a matte.
            OutputError: the plate would be overwritten, or the folder is another job's.
            Refused: the server does not accept the job.
        """
        config = self._session.config
        job = hooks.prepare_job(job, config) if claim else job
        chosen = config.priority if priority is None else priority
        return submit(self._session, job, id, transport or config.transport, chosen, overwrite, claim, on_progress)

    def watch(self, id: str, previews: bool = False) -> Iterator[Event]:
        """Yield the states of a job, at most five a second, until a final one.

        Args:
            id: the job.
            previews: whether to yield previews of frames too.

        Raises:
            UnknownJob: the server does not know the job.
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
        """Write every published frame that is not on disk yet, and `report.json` once the job is done.

        Args:
            id: the job.
            output: a pattern to write to instead of the job's own.
            overwrite: replace files of another job.
            claim: as for `submit`; without it only frames are written.
            on_frame: called with the number and path of each frame that was written.

        Returns:
            The paths of all frames that are published so far.

        Raises:
            UnknownJob: the server does not know the job.
            OutputError: the folder is another job's, or a file in it is not the job's.
            DiskFull: no space left. No partial file remains.
        """
        return self._fetcher.fetch(id, output, overwrite, claim, on_frame)

    def result(self, id: str) -> Result:
        """Return the frames that a job has published so far. Raises UnknownJob."""
        return self._session.ask(m.GetResult(id), m.Result)

    def status(self, id: str) -> JobStatus:
        """Return the status of a job. Raises UnknownJob."""
        return self._session.ask(m.GetStatus(id), m.StatusReply).status

    def cancel(self, id: str) -> JobStatus:
        """Cancel a job and return its status. Raises UnknownJob."""
        return self._session.ask(m.Cancel(id), m.StatusReply).status

    def jobs(self, limit: int = 100) -> Tuple[JobStatus, ...]:
        """Return the newest jobs, at most `limit`."""
        return self._session.ask(m.ListJobs(limit), m.JobList).jobs

    def server_status(self) -> ServerStatus:
        """Return the server's own status. Raises VersionMismatch if it is from before protocol 1.1."""
        try:
            return self._session.ask(m.GetServerStatus(), m.ServerStatus)
        except ProtocolError as exc:
            server = self.server
            if server.protocol == m.PROTOCOL_VERSION:
                raise
            raise VersionMismatch(
                f"{server.server} speaks protocol {server.protocol} and has no server status, which needs "
                f"{m.PROTOCOL_VERSION}; install the same version of void-bridge there, and start it again"
            ) from exc

    def free(self) -> int:
        """Ask idle workers to release their device memory. Returns the number of those workers."""
        return self._session.ask(m.Free(), m.Freed).workers

    def ping(self) -> float:
        """Return the seconds that the server takes to answer."""
        began = time.monotonic()
        self._session.ask(m.Ping(), m.Pong)
        return time.monotonic() - began
