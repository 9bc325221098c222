"""Jobs in the background of a host: nothing keeps its caller waiting, and all news come on the main thread.

controller = Controller(post=run_on_the_main_thread, on_state=show)
state = controller.submit(order)          returns at once
controller.cancel(state, settings)
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, Dict, Optional, Tuple

from host_plugins.control.request import Order
from host_plugins.control.runs import OnState, Run, config_of
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState, Phase
from host_plugins.control.words import artist_words
from void_bridge.client import Client, connect
from void_bridge.errors import VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import JobStatus

log = logging.getLogger(__name__)

Post = Callable[[Callable[[], None]], None]
OnLine = Callable[[str], None]
OnFound = Callable[[JobState, Job], None]
OnJobs = Callable[[Tuple[JobStatus, ...], str], None]


class Controller:
    """Every method returns at once; call them from the host's main thread.

    Args:
        post: runs a call on the host's main thread, later; used from threads of the controller only.
        on_state: told each state of each job, on the main thread. News that come faster than the host takes them
            are left out, but for the latest of each job.
        interactive: whether somebody sits there, for whom a local server may be started.
    """

    def __init__(self, post: Post, on_state: OnState, interactive: bool = True) -> None:
        self._post, self._on_state, self._interactive = post, on_state, interactive
        self._lock = threading.Lock()
        self._news: Dict[str, JobState] = {}
        self._runs: Dict[str, Run] = {}
        self._threads: Dict[str, threading.Thread] = {}

    def submit(self, order: Order) -> JobState:
        """Hand a job over. Returns the state to remember it by."""
        phase: Phase = "handed_over" if order.settings.where == "farm" else "sending"
        server = order.settings.address if order.settings.where == "server" else ""
        job = order.job
        state = JobState(order.id, phase, output=job.output, frames=str(job.frames), server=server)
        run = self._new_run(state, order.settings)
        self._start(order.id, lambda: run.submit(order))
        return state

    def follow(self, state: JobState, settings: Settings) -> None:
        """Pick up a job that was submitted in another session, unless it is being followed already."""
        if state.id and not self.is_following(state.id):
            run = self._new_run(state, settings)
            self._start(state.id, run.follow)

    def is_following(self, id: str) -> bool:
        thread = self._threads.get(id)
        return thread is not None and thread.is_alive()

    def followed(self) -> Tuple[str, ...]:
        """The numbers of the jobs that are being followed."""
        return tuple(id for id in list(self._threads) if self.is_following(id))

    def cancel(self, state: JobState, settings: Settings, on_line: OnLine) -> None:
        """Ask for the end of a job. Its state tells when that has come."""
        run = self._runs.get(state.id)
        if run is not None:
            run.cancel_sending.set()
        if state.phase == "handed_over":
            threading.Thread(target=self._stop_waiting, args=(state,), name="void-bridge-stop", daemon=True).start()
            return

        def ask(client: Client) -> str:
            return f"the server has been asked: {client.cancel(state.id).state}"

        self._ask(settings, ask, on_line)

    def free(self, settings: Settings, on_line: OnLine) -> None:
        """Have idle workers give their GPU memory back."""
        self._ask(settings, lambda client: f"{client.free()} idle workers give their GPU memory back", on_line)

    def check(self, settings: Settings, on_line: OnLine) -> None:
        """Say which server answers, how fast, and what it can do."""

        def ask(client: Client) -> str:
            server, ms = client.server, client.ping() * 1000
            return f"{server.server} on {server.host} answers in {ms:.0f} ms; engines {', '.join(server.engines)}"

        self._ask(settings, ask, on_line)

    def jobs(self, settings: Settings, on_jobs: OnJobs) -> None:
        """List the server's jobs, so that one whose node is gone can be found again. With words where that fails."""

        def ask(client: Client) -> str:
            found = client.jobs()
            self._post(lambda: on_jobs(found, ""))
            return ""

        self._ask(settings, ask, lambda line: on_jobs((), line) if line else None)

    def find(self, id: str, settings: Settings, on_found: OnFound, on_line: OnLine) -> None:
        """Look a job up by its number. It and its state come on the main thread, or words about why there is none."""

        def ask(client: Client) -> str:
            found = client.result(id)
            server = settings.address if settings.where == "server" else ""
            phase: Phase = "queued" if found.status.state == "receiving" else found.status.state
            state = JobState(id, phase, output=found.job.output, frames=str(found.job.frames), server=server)
            self._post(lambda: on_found(state, found.job))
            return ""

        self._ask(settings, ask, on_line)

    def wait(self, id: str, timeout_s: Optional[float] = None) -> bool:
        """Until a job is no longer followed. For renders without an interface, never for an interface's own thread."""
        thread = self._threads.get(id)
        if thread is not None:
            thread.join(timeout_s)
        return not self.is_following(id)

    def stop(self) -> None:
        """Follow nothing any more; the jobs go on at the server."""
        for run in self._runs.values():
            run.stop.set()

    def _new_run(self, state: JobState, settings: Settings) -> Run:
        run = Run(state, settings, self._tell, self._interactive)
        self._runs[state.id] = run
        return run

    def _start(self, id: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"void-bridge-{id}", daemon=True)
        self._threads[id] = thread
        thread.start()

    def _stop_waiting(self, state: JobState) -> None:
        """A job that was handed over has no server to be asked. On a thread: that is where news come from."""
        run = self._runs.get(state.id)
        if run is not None:
            run.stop.set()
            self.wait(state.id)
        self._tell(state.replace(phase="cancelled", line="no longer waited for; stop it on the farm"))

    def _ask(self, settings: Settings, ask: Callable[[Client], str], on_line: OnLine) -> None:
        """One question to a server that runs, on a thread of its own; the answer comes on the main thread."""

        def work() -> None:
            try:
                with connect(config_of(settings, interactive=False)) as client:
                    line = ask(client)
            except VoidBridgeError as exc:
                line = artist_words(exc)
            except Exception as exc:
                log.exception("a question to the server failed")
                line = artist_words(exc)
            self._post(lambda: on_line(line))

        threading.Thread(target=work, name="void-bridge-ask", daemon=True).start()

    def _tell(self, state: JobState) -> None:
        with self._lock:
            waiting = bool(self._news)
            self._news[state.id] = state
        if not waiting:
            self._post(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            news, self._news = list(self._news.values()), {}
        for state in news:
            self._on_state(state)
