"""The adaptor of one session: it starts the server once, and each task's frames are made through it."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar, Dict, Optional

from openjd.adaptor_runtime.adaptors import Adaptor, SemanticVersion
from openjd.adaptor_runtime.adaptors.configuration import AdaptorConfiguration

from host_plugins.farm import session
from host_plugins.farm.adaptor.validation import check
from host_plugins.farm.reporters import PlainReporter
from host_plugins.farm.task import TaskOrder, run_task
from void_bridge.config import Config
from void_bridge.errors import Cancelled, InternalError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.pathmap import PathMap

log = logging.getLogger(__name__)

INTERFACE = SemanticVersion(major=1, minor=0)  # of init_data and run_data


class VoidBridgeAdaptor(Adaptor[AdaptorConfiguration]):
    """The adaptor that openjd-adaptor-runtime runs.

    `init_data` holds gpus and gpu_memory_gb; `run_data` holds jobs, shot and frames. See schemas/.

    Attributes:
        session_folder: the folder of the server's spool, removed with the session; None makes a temporary one.

    Raises:
        VoidBridgeError: from each call; the runtime passes its message on to the farm.
    """

    session_folder: ClassVar[Optional[Path]] = None
    """Where the server keeps its spool; it is removed with it. None: a temporary folder."""

    def __init__(self, init_data: Dict[str, Any], **more: Any) -> None:
        try:
            super().__init__(init_data, **more)
        except (TypeError, ValueError, AttributeError) as exc:
            raise UsageError(f"cannot read path mapping rules: {exc}; expected pathmapping-1.0") from exc
        self._stopping = threading.Event()
        self._folder: Optional[Path] = None
        self._client_config: Optional[Config] = None

    @property
    def integration_data_interface_version(self) -> SemanticVersion:
        """The version of init_data and run_data."""
        return INTERFACE

    def on_start(self) -> None:
        """Start the session's server."""
        check("init_data", self.init_data)
        self._folder = self.session_folder or Path(tempfile.mkdtemp(prefix="void-bridge-"))
        gpu_request = int(self.init_data.get("gpus", 0)), float(self.init_data.get("gpu_memory_gb", 0))
        self._client_config = session.start(self._folder, *gpu_request, say=log.info)
        if self._stopping.is_set():
            raise Cancelled("cancelled while the session's server was started")

    def on_run(self, run_data: Dict[str, Any]) -> None:
        """Make the frames of one task."""
        try:
            check("run_data", run_data)
            if self._client_config is None:
                raise InternalError("a task was run before the adaptor was started")
            run_task(self._order(run_data), self._client_config, _Lines(), self._stopping)
        finally:
            self._stopping.clear()  # here: a cancel may come before this call has begun

    def _order(self, run_data: Dict[str, Any]) -> TaskOrder:
        rules = PathMap(tuple((rule.source_path, rule.destination_path) for rule in self.path_mapping_rules))
        frames = FrameRange.parse(str(run_data["frames"]))
        return TaskOrder(Path(run_data["jobs"]), run_data["shot"], frames, rules)

    def on_cancel(self) -> None:
        """Cancel the running task, from another thread. `on_run` then raises Cancelled; finished frames are kept."""
        self._stopping.set()

    def on_cleanup(self) -> None:
        """Stop the session's server and remove its files."""
        if self._folder is not None:
            session.stop(self._folder, log.info)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self._client_config = None


class _Lines(PlainReporter):
    """A reporter in the runtime's own lines. The runtime reports failures itself."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def say_progress(self, percent: float) -> None:
        VoidBridgeAdaptor.update_status(progress=round(percent, 1))

    def say_status(self, line: str) -> None:
        VoidBridgeAdaptor.update_status(status_message=line)

    def say_failure(self, line: str) -> None:
        pass
