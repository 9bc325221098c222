"""Jobs in the background of a host: nothing keeps its caller waiting, and all news come on the main thread.

controller = Controller(post=run_on_the_main_thread, on_state=show)
state = controller.submit(order)          returns at once
controller.cancel(state, settings)
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from host_plugins.control.error_messages import artist_message
from host_plugins.control.job_follower import JobFollower, News, OnState, config_of, no_farm_status
from host_plugins.control.request import Order
from host_plugins.control.settings import Settings
from host_plugins.control.state import JobState, Phase
from void_bridge.client import Client, connect
from void_bridge.client.output import output_folder
from void_bridge.errors import VoidBridgeError
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.protocol.messages import JobStatus

log = logging.getLogger(__name__)

Post = Callable[[Callable[[], None]], None]
OnLine = Callable[[str], None]
OnFound = Callable[[JobState, Job], None]
OnJobs = Callable[[Tuple[JobStatus, ...], str], None]


class FarmHandover(NamedTuple):
    """farm: its name and its id for the job. outputs: of each job, where a site's hook may have moved it."""

    farm: str
    outputs: Tuple[str, ...] = ()


ToFarm = Callable[[Sequence[Path]], FarmHandover]  # takes job.json files


def handed_over_state(order: Order) -> JobState:
    """How a job for a farm stands at first."""
    return JobState(order.id, "handed_over", "being submitted", output=order.job.output, frames=str(order.job.frames))


class Controller:
    """Every method returns at once; call them from the host's main thread.

    Args:
        post: runs a call on the host's main thread, later; used from threads of the controller only.
        on_state: told each state of each job, on the main thread. News that come faster than the host takes them
            are left out, but for the latest of each job.
        interactive: whether somebody sits there, for whom a local server may be started.
        news: says how a job stands that was handed to a farm; asked on threads of the controller.
    """

    def __init__(self, post: Post, on_state: OnState, interactive: bool = True, news: News = no_farm_status) -> None:
        self._post, self._on_state, self._interactive, self._farm_news = post, on_state, interactive, news
        self._lock = threading.Lock()
        self._news: Dict[str, JobState] = {}
        self._runs: Dict[str, JobFollower] = {}
        self._threads: Dict[str, threading.Thread] = {}

    def submit(self, order: Order) -> JobState:
        """Hand a job to a server. Returns the state to remember it by."""
        assert order.settings.where != "farm", "submit_to_farm takes those"
        server = order.settings.address if order.settings.where == "server" else ""
        job = order.job
        state = JobState(order.id, "sending", output=job.output, frames=str(job.frames), server=server)
        run = self._new_run(state, order.settings)
        self._start(order.id, lambda: run.submit(order))
        return state

    def submit_to_farm(self, orders: Sequence[Order], to_farm: ToFarm) -> Tuple[JobState, ...]:
        """Hand jobs to a farm, all in one submission, and wait for their frames.

        Args:
            to_farm: called on a thread, with a job.json of each order beside its frames-to-be. What it raises becomes
                the state of every job; their files are left, for somebody to submit by hand.

        Returns:
            A state to remember each by, in the orders' order: what `handed_over_state` says of it.
        """
        states = tuple(handed_over_state(order) for order in orders)
        runs = [self._new_run(state, order.settings) for state, order in zip(states, orders)]
        thread = threading.Thread(
            target=self._to_farm, args=(orders, runs, to_farm), name="void-bridge-farm", daemon=True
        )
        self._threads.update({order.id: thread for order in orders})
        thread.start()
        return states

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

    def wait(self, id: str, timeout_s: float = threading.TIMEOUT_MAX) -> bool:
        """Until a job is no longer followed. For renders without an interface, never for an interface's own thread."""
        end = time.monotonic() + timeout_s
        while self.is_following(id) and time.monotonic() < end:  # one thread may hand over to another
            self._threads[id].join(end - time.monotonic())
        return not self.is_following(id)

    def stop(self) -> None:
        """Follow nothing any more; the jobs go on at the server."""
        for run in self._runs.values():
            run.stop.set()

    def _new_run(self, state: JobState, settings: Settings) -> JobFollower:
        run = JobFollower(state, settings, self._tell, self._interactive, self._farm_news)
        self._runs[state.id] = run
        return run

    def _start(self, id: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"void-bridge-{id}", daemon=True)
        thread.start()  # first: where one thread takes over from another, the job counts as followed all the time
        self._threads[id] = thread

    def _to_farm(self, orders: Sequence[Order], runs: List[JobFollower], to_farm: ToFarm) -> None:
        """On a thread. Following begins before this thread ends, so that somebody follows at any time."""
        try:
            files = [output_folder(order.job) / JOB_FILE_NAME for order in orders]
            for order, file in zip(orders, files):
                JobFile(order.job).write(file)
            farm, outputs = to_farm(files)
        except Exception as exc:
            for run in runs:
                run.fail(exc)
            return
        for run, output in zip(runs, outputs or [run.state.output for run in runs]):
            run.tell(farm=farm, line=f"{farm}: submitted", output=output)
            self._start(run.state.id, run.follow)

    def _stop_waiting(self, state: JobState) -> None:
        """A job that was handed over has no server to be asked. On a thread: that is where news come from."""
        run = self._runs.get(state.id)
        if run is not None:
            run.stop.set()
            self.wait(state.id)
            state = run.state
        if state.is_alive:
            there = f": {state.farm}" if state.farm else ""
            self._tell(state.replace(phase="cancelled", line=f"no longer waited for; stop it on the farm{there}"))

    def _ask(self, settings: Settings, ask: Callable[[Client], str], on_line: OnLine) -> None:
        """One question to a server that runs, on a thread of its own; the answer comes on the main thread."""

        def work() -> None:
            try:
                with connect(config_of(settings, interactive=False)) as client:
                    line = ask(client)
            except VoidBridgeError as exc:
                line = artist_message(exc)
            except Exception as exc:
                log.exception("a question to the server failed")
                line = artist_message(exc)
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
