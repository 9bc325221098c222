"""Following a job to its end, with its frames fetched in the background."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Callable, List, Optional

from void_bridge.client.client import Client, ignore_frame
from void_bridge.client.fetch import OnFrame
from void_bridge.protocol.messages import FINAL_STATES, JobStatus


class FrameWriter:
    """Fetches published frames in a thread, so that a slow disk or network does not stop the display.

    The arguments are those of `Client.fetch`.

    Attributes:
        paths: all frames that have been published.
    """

    def __init__(
        self,
        client: Client,
        id: str,
        output: Optional[str],
        overwrite: bool,
        on_frame: OnFrame = ignore_frame,
        claim: bool = True,
    ) -> None:
        self._client, self._id, self._output, self._overwrite = client, id, output, overwrite
        self._on_frame, self._claim = on_frame, claim
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[BaseException] = None
        self._published = 0
        self.paths: List[Path] = []

    def fetch_published(self, published: int) -> None:
        """Start to fetch if more frames are published and no fetch runs. Raises the error of the last fetch."""
        busy = self._thread is not None and self._thread.is_alive()
        if published > self._published and not busy:
            self._raise_failure()
            self._published = published
            self._thread = threading.Thread(target=self._fetch, name="void-fetch", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Fetch the remaining frames in this thread."""
        if self._thread is not None:
            self._thread.join()
        self._raise_failure()
        self._fetch()
        self._raise_failure()

    def _fetch(self) -> None:
        """Fetch all published frames and keep the error, if any."""
        try:
            self.paths = self._client.fetch(
                self._id, self._output, overwrite=self._overwrite, claim=self._claim, on_frame=self._on_frame
            )
        except BaseException as exc:
            self._failure = exc

    def _raise_failure(self) -> None:
        """Raise the error of the last fetch, if any."""
        if self._failure is not None:
            raise self._failure


def follow(
    client: Client, id: str, show: Callable[[JobStatus], None], writer: Optional[FrameWriter] = None
) -> JobStatus:
    """Watch a job until it ends and return its last status.

    Args:
        client: the client.
        id: the job.
        show: called with each status.
        writer: writes every published frame, if given.
    """
    status = client.status(id)
    for event in client.watch(id):
        if isinstance(event, JobStatus):
            status = event
            show(status)
            if writer is not None and status.state not in FINAL_STATES:
                writer.fetch_published(status.frames_done)
    if writer is not None and status.frames_done:
        writer.finish()
    return status
