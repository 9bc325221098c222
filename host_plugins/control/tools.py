"""Previews, movies and paste mattes, made by child processes that run the server's own Python.

Hosts do not decode images themselves. Every method returns at once; its result arrives on the host's main thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from host_plugins.control.controller import Post
from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import config_of
from host_plugins.control.settings import Settings
from void_bridge.client.launch import child_environment, server_python
from void_bridge.config import Config
from void_bridge.errors import InternalError, NoServer, error_from_code
from void_bridge.frames import FrameRange
from void_bridge.job import Job, JobFile

# On Windows a console program would flash a window of its own over the host.
NO_WINDOW: Dict[str, Any] = {"creationflags": 0x08000000} if sys.platform == "win32" else {}

OnOutcome = Callable[[str, str], None]  # a path and an error message, one of them empty


class PixelTools:
    """The tools of a host that need pixels.

    Args:
        post: runs a call on the host's main thread, later.
    """

    def __init__(self, post: Post) -> None:
        self._post = post

    def preview(self, job: Job, frame: int, picture: Path, settings: Settings, on_outcome: OnOutcome) -> None:
        """Draw the mattes of one frame over its plate, as the model would see them.

        Args:
            job: the job whose plate and mattes are read.
            frame: the frame.
            picture: the PNG to write.
            settings: the settings of the node.
            on_outcome: called with the path of the picture and an error message, one of them empty.
        """

        def work(config: Config) -> str:
            with tempfile.TemporaryDirectory(prefix="void-bridge-") as folder:
                one = job.replace(frames=FrameRange([frame]), handles=0, output=f"{folder}/quadmask.####.exr")
                path = Path(folder) / "job.json"
                JobFile(one).write(path)
                picture.parent.mkdir(parents=True, exist_ok=True)
                run_command(config, ["quadmask", str(path), "--preview", str(picture), "--overwrite"])
            return picture.as_posix()

        self._start(settings, work, on_outcome)

    def compare(self, job_file: Path, settings: Settings, on_outcome: OnOutcome) -> None:
        """Make a movie of a finished job, before, after and wipe: `<version>_compare.mp4` beside its frames."""
        movie = job_file.parent / f"{job_file.parent.name}_compare.mp4"

        def work(config: Config) -> str:
            run_command(config, ["compare", str(job_file), "-o", str(movie), "--overwrite"])
            return movie.as_posix()

        self._start(settings, work, on_outcome)

    def paste_sequence(self, job_file: Path, pattern: str, settings: Settings, on_outcome: OnOutcome) -> None:
        """Write the paste matte of a finished job, whose frames are on disk, as the sequence `pattern`."""

        def work(config: Config) -> str:
            run_command(config, ["fetch", str(job_file), "--paste-sequence", pattern, "--overwrite"])
            return pattern

        self._start(settings, work, on_outcome)

    def _start(self, settings: Settings, work: Callable[[Config], str], on_outcome: OnOutcome) -> None:
        def run() -> None:
            path, error = "", ""
            try:
                path = work(config_of(settings, interactive=False))
            except Exception as exc:
                error = artist_message(exc)
            self._post(lambda: on_outcome(path, error))

        threading.Thread(target=run, name="void-bridge-tool", daemon=True).start()


def run_command(config: Config, words: Sequence[str]) -> Dict[str, Any]:
    """Run `void-bridge WORDS --json` with the server's Python, without the host's Python and Qt variables.

    Args:
        config: names the installation whose Python runs the command.
        words: the command and its options.

    Returns:
        The JSON object that the command printed.

    Raises:
        VoidBridgeError: the error that the command ended with.
        NoServer: there is no Python to run it with.
    """
    command: List[str] = [server_python(config), "-m", "void_bridge.cli", *words, "--json"]
    environment = child_environment(config)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, **NO_WINDOW)
    except OSError as exc:
        raise NoServer(f"cannot start {command[0]}: {exc.strerror or exc}; run void-bridge install again") from exc
    return _json_output(done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def _json_output(output: str, errors: str) -> Dict[str, Any]:
    lines = output.strip().splitlines()
    try:
        outcome = json.loads(lines[-1])
    except (IndexError, ValueError):
        last = errors.strip().splitlines()[-1:] or ["nothing"]
        raise InternalError(f"void-bridge ended without an answer; its last line: {last[0]}") from None
    if "error" in outcome:
        raise error_from_code(outcome["error"].get("code", ""), outcome["error"].get("message", ""))
    return dict(outcome)
