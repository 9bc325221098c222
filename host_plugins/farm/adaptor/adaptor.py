"""One session's adaptor: its server is started once, each task's frames are made through it."""

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
    """init_data: gpus, gpu_memory_gb. run_data: jobs, shot, frames. See schemas/.

    Raises, from each call:
        VoidBridgeError: why it failed, in words that the runtime hands to the farm.
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
        return INTERFACE

    def on_start(self) -> None:
        check("init_data", self.init_data)
        self._folder = self.session_folder or Path(tempfile.mkdtemp(prefix="void-bridge-"))
        asked = int(self.init_data.get("gpus", 0)), float(self.init_data.get("gpu_memory_gb", 0))
        self._client_config = session.start(self._folder, *asked, say=log.info)
        if self._stopping.is_set():
            raise Cancelled("cancelled while the session's server was started")

    def on_run(self, run_data: Dict[str, Any]) -> None:
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
        """On another thread than `on_run`, which then ends with Cancelled and keeps the frames that are finished."""
        self._stopping.set()

    def on_cleanup(self) -> None:
        if self._folder is not None:
            session.stop(self._folder, log.info)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self._client_config = None


class _Lines(PlainReporter):
    """In the words of the runtime, which tells failures by itself."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def say_progress(self, percent: float) -> None:
        VoidBridgeAdaptor.update_status(progress=round(percent, 1))

    def say_status(self, line: str) -> None:
        VoidBridgeAdaptor.update_status(status_message=line)

    def say_failure(self, line: str) -> None:
        pass
