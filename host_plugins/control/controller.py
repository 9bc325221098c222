"""Jobs in the background of a host: no call keeps the host waiting, and all news arrive on its main thread.

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
from host_plugins.control.job_follower import FarmJobStatus, FarmStatusReader, JobFollower, OnState, config_of
from host_plugins.control.request import Order, settings_notes
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
OnEngines = Callable[[Tuple[str, ...]], None]
OnJobs = Callable[[Tuple[JobStatus, ...], str], None]


class FarmHandover(NamedTuple):
    """A farm's answer to a submission.

    Attributes:
        farm: the farm's name and its id for the job.
        outputs: the output of each job, where a hook of the site may have moved it; empty: as they were.
    """

    farm: str
    outputs: Tuple[str, ...] = ()


ToFarm = Callable[[Sequence[Path]], FarmHandover]  # takes job.json files


def handed_over_state(order: Order) -> JobState:
    """Return the first state of a job for a farm."""
    job, notes = order.job, settings_notes(order.settings)
    return JobState(order.id, "handed_over", "submitting", output=job.output, frames=str(job.frames), report=notes)


class Controller:
    """Runs a host's jobs on threads. Every method returns at once; call them from the host's main thread.

    Args:
        post: runs a call on the host's main thread, later; used from threads of the controller only.
        on_state: called with each state of each job, on the main thread. When states come faster than the host takes
            them, only the latest of each job is delivered.
        interactive: whether an artist is present, for whom a local server may be started.
        farm_status: reads the status of a job that was handed to a farm; called on threads of the controller.
        on_engines: called on the main thread with the engines of each server that answers a question.
    """

    def __init__(
        self,
        post: Post,
        on_state: OnState,
        interactive: bool = True,
        farm_status: FarmStatusReader = lambda folder: FarmJobStatus(),
        on_engines: OnEngines = lambda engines: None,
    ) -> None:
        self._post, self._on_state, self._interactive, self._farm_status = post, on_state, interactive, farm_status
        self._on_engines = on_engines
        self._lock = threading.Lock()
        self._undelivered: Dict[str, JobState] = {}
        self._followers: Dict[str, JobFollower] = {}
        self._threads: Dict[str, threading.Thread] = {}

    def submit(self, order: Order) -> JobState:
        """Send a job to a server and return its first state, for the host to remember."""
        assert order.settings.where != "farm", "submit_to_farm takes farm orders"
        server = order.settings.address if order.settings.where == "server" else ""
        job = order.job
        notes = settings_notes(order.settings)
        state = JobState(order.id, "sending", output=job.output, frames=str(job.frames), server=server, report=notes)
        follower = self._new_follower(state, order.settings)
        self._start(order.id, lambda: follower.submit(order))
        return state

    def submit_to_farm(self, orders: Sequence[Order], to_farm: ToFarm) -> Tuple[JobState, ...]:
        """Submit jobs to a farm, all in one submission, and wait for their frames.

        Args:
            orders: the jobs.
            to_farm: submits; called on a thread once each order's job.json is written into its output folder. An
                exception becomes the state of every job; the files stay, so that they can be submitted by hand.

        Returns:
            The first state of each job, in the order of `orders`.
        """
        states = tuple(handed_over_state(order) for order in orders)
        followers = [self._new_follower(state, order.settings) for state, order in zip(states, orders)]
        thread = threading.Thread(
            target=self._hand_over, args=(orders, followers, to_farm), name="void-bridge-farm", daemon=True
        )
        self._threads.update({order.id: thread for order in orders})
        thread.start()
        return states

    def follow(self, state: JobState, settings: Settings) -> None:
        """Follow a job that was submitted earlier, unless it is being followed already."""
        if state.id and not self.is_following(state.id):
            follower = self._new_follower(state, settings)
            self._start(state.id, follower.follow)

    def is_following(self, id: str) -> bool:
        """Return whether a job's states are being reported."""
        thread = self._threads.get(id)
        return thread is not None and thread.is_alive()

    def followed_ids(self) -> Tuple[str, ...]:
        """Return the ids of the jobs that are being followed."""
        return tuple(id for id in list(self._threads) if self.is_following(id))

    def cancel(self, state: JobState, settings: Settings, on_line: OnLine) -> None:
        """Ask for a job to be cancelled. A later state reports that it is."""
        follower = self._followers.get(state.id)
        if follower is not None:
            follower.cancel_sending.set()
        if state.phase == "handed_over":
            threading.Thread(target=self._stop_waiting, args=(state,), name="void-bridge-stop", daemon=True).start()
            return

        def ask(client: Client) -> str:
            return f"the server was asked to cancel: {client.cancel(state.id).state}"

        self._ask(settings, ask, on_line)

    def free(self, settings: Settings, on_line: OnLine) -> None:
        """Make idle workers release their GPU memory."""
        self._ask(settings, lambda client: f"{client.free()} idle workers release their GPU memory", on_line)

    def check(self, settings: Settings, on_line: OnLine) -> None:
        """Report which server answers, how fast, and its engines."""

        def ask(client: Client) -> str:
            server, ms = client.server, client.ping() * 1000
            return f"{server.server} on {server.host} answers in {ms:.0f} ms; engines {', '.join(server.engines)}"

        self._ask(settings, ask, on_line)

    def jobs(self, settings: Settings, on_jobs: OnJobs) -> None:
        """List the server's jobs, so that one whose node is gone can be found again.

        Args:
            settings: name the server.
            on_jobs: called with the jobs and an empty text, or with no jobs and an error message.
        """

        def ask(client: Client) -> str:
            found = client.jobs()
            self._post(lambda: on_jobs(found, ""))
            return ""

        self._ask(settings, ask, lambda line: on_jobs((), line) if line else None)

    def find(self, id: str, settings: Settings, on_found: OnFound, on_line: OnLine) -> None:
        """Find a job of the server by its id.

        Args:
            id: the job's id.
            settings: name the server.
            on_found: called with the job's state and the job, on the main thread.
            on_line: called with an error message if there is no such job, else with an empty text.
        """

        def ask(client: Client) -> str:
            found = client.result(id)
            server = settings.address if settings.where == "server" else ""
            phase: Phase = "queued" if found.status.state == "receiving" else found.status.state
            state = JobState(id, phase, output=found.job.output, frames=str(found.job.frames), server=server)
            self._post(lambda: on_found(state, found.job))
            return ""

        self._ask(settings, ask, on_line)

    def wait(self, id: str, timeout_s: float = threading.TIMEOUT_MAX) -> bool:
        """Wait until a job is no longer followed; for terminals only, never on an interface's main thread.

        Returns:
            False after `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while self.is_following(id) and time.monotonic() < end:  # one thread may hand over to another
            self._threads[id].join(end - time.monotonic())
        return not self.is_following(id)

    def stop(self) -> None:
        """Stop following; the jobs go on at the server."""
        for follower in self._followers.values():
            follower.stop.set()

    def _new_follower(self, state: JobState, settings: Settings) -> JobFollower:
        follower = JobFollower(state, settings, self._publish, self._interactive, self._farm_status)
        self._followers[state.id] = follower
        return follower

    def _start(self, id: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"void-bridge-{id}", daemon=True)
        thread.start()  # first: where one thread takes over from another, the job counts as followed all the time
        self._threads[id] = thread

    def _hand_over(self, orders: Sequence[Order], followers: List[JobFollower], to_farm: ToFarm) -> None:
        """Submit to the farm, on a thread. It ends after the jobs' own threads have started, so none is unfollowed."""
        try:
            files = [output_folder(order.job) / JOB_FILE_NAME for order in orders]
            for order, file in zip(orders, files):
                JobFile(order.job).write(file)
            farm, outputs = to_farm(files)
        except Exception as exc:
            for follower in followers:
                follower.fail(exc)
            return
        for follower, output in zip(followers, outputs or [follower.state.output for follower in followers]):
            follower.update(farm=farm, line=f"{farm}: submitted", output=output)
            self._start(follower.state.id, follower.follow)

    def _stop_waiting(self, state: JobState) -> None:
        """Report a farm's job as cancelled: no server knows it. Runs on a thread, since states come from threads."""
        follower = self._followers.get(state.id)
        if follower is not None:
            follower.stop.set()
            self.wait(state.id)
            state = follower.state
        if state.is_alive:
            on_farm = f": {state.farm}" if state.farm else ""
            self._publish(
                state.replace(phase="cancelled", line=f"no longer following the job; stop it at the farm{on_farm}")
            )

    def _ask(self, settings: Settings, ask: Callable[[Client], str], on_line: OnLine) -> None:
        """Ask a running server on a thread, and pass the answer or the error message on to the main thread."""

        def work() -> None:
            try:
                with connect(config_of(settings, interactive=False)) as client:
                    engines = client.server.engines
                    self._post(lambda: self._on_engines(engines))
                    line = ask(client)
            except VoidBridgeError as exc:
                line = artist_message(exc)
            except Exception as exc:
                log.exception("a request to the server failed")
                line = artist_message(exc)
            self._post(lambda: on_line(line))

        threading.Thread(target=work, name="void-bridge-ask", daemon=True).start()

    def _publish(self, state: JobState) -> None:
        with self._lock:
            is_posted = bool(self._undelivered)
            self._undelivered[state.id] = state
        if not is_posted:
            self._post(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            states, self._undelivered = list(self._undelivered.values()), {}
        for state in states:
            self._on_state(state)
