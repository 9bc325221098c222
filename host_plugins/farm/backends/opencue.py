"""OpenCue, through pyoutline and pycue.

remove_<shot>   the tasks of a shot; OpenCue's frame numbers are numbers of tasks (see `numbered_tasks`), a chunk is one
check_<shot>    after it: checks every frame
comp            after every check, if it was asked for: frame by frame

Why task numbers, and not the plate's frames with OpenCue's chunks. Read in Cuebot's source
(github.com/AcademySoftwareFoundation/OpenCue): a frame's name is `0001-layer`, four to six digits, so that negative
frames have none (service/JobSpec.java); in versions with util/FrameSet.java `getChunk`, #FRAMESPEC# of a layer's last
chunk leaves out its last frame; and in older versions only #ZFRAME#, #IFRAME#, #LAYER#, #JOB# and #FRAME# are replaced
(dispatcher/DispatchSupportService.java). #IFRAME# with a chunk of 1 is right in all of them. JobSpec.java also defines
which names are allowed (three or more of a-z, 0-9, _), how memory is read (m: MiB, g: GiB) and that root cannot launch.

The specification is the output of `outline.backend.cue.serialize_simple`, sent by `opencue.api.launchSpecAndWait`.
OutlineLauncher.launch(use_pycuerun=False) sends the same, but leaves a session folder and SHOT in the environment.
Serialising ran; a launch ran against a fake Cuebot on the vendor's own protocol, never against a real Cuebot.
SHOW, SHOT and USER are taken from the environment, as pyoutline does.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import socket
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar, Dict, Iterator, List, Sequence

from host_plugins.farm.backends import FarmReceipt, Say, numbered_tasks
from host_plugins.farm.bundle import Bundle
from host_plugins.farm.options import FarmOptions
from void_bridge.errors import NoServer, ServerError, UnknownJob, UsageError
from void_bridge.frames import FrameRange

_PACKAGES = (("pyoutline", "outline"), ("pycue", "opencue"))
_CONNECT_S = 5.0
# pycue means milliseconds by its default of 10000, but passes it on to gRPC, which takes seconds.
_CALL_S = 60.0
_WORDS = (("running", "running"), ("dead", "dead"), ("eaten", "eaten"), ("waiting", "waiting"), ("depend", "depending"))


class OpenCue:
    """The back end `opencue`. Ids are the names of jobs, such as `show-shot-user_void_sh010`."""

    name: ClassVar[str] = "opencue"
    summary: ClassVar[str] = "OpenCue: submits through pyoutline to the Cuebot in CUEBOT_HOSTS"
    loads_once: ClassVar[bool] = False

    def serialised(self, bundle: Bundle, options: FarmOptions) -> str:
        """Return the job's specification, XML, as it is sent to Cuebot. Contacts no Cuebot.

        Raises:
            UsageError: pyoutline is not installed, or an option that OpenCue cannot honour.
        """
        numbered_tasks.refuse_adaptor("OpenCue", options)
        with _pyoutline():
            outline = importlib.import_module("outline")
            cuerun = importlib.import_module("outline.cuerun")
            backend = importlib.import_module("outline.backend.cue")
            made = _outline(outline, bundle, options)
            # Jobs of OpenCue begin at 1. A job that depends on others waits until it is told so.
            flags = {"priority": max(1, options.priority), "pause": bool(options.depends_on)}
            return str(backend.serialize_simple(cuerun.OutlineLauncher(made, **flags)))

    def submit(self, bundle: Bundle, options: FarmOptions, say: Say) -> FarmReceipt:
        """Launch a job on Cuebot.

        Raises:
            UsageError: pyoutline is not installed, or an option that OpenCue cannot honour.
            NoServer: no Cuebot answers.
            ServerError: Cuebot refuses the job.
        """
        spec = self.serialised(bundle, options)
        with _cuebot() as opencue:
            before = [_active(opencue, name) for name in options.depends_on]
            job = opencue.api.launchSpecAndWait(spec)[0]
            name = str(job.data.name)
            say(f"Cuebot job {name}")
            try:
                _settle(job, before, options.comment)
            except (opencue.CueException, _grpc().RpcError) as exc:
                stays = "it stays paused; " if before else ""
                raise ServerError(
                    f"{name} was launched, but then: {_error_text(exc)}; {stays}resume or kill it in CueGUI"
                ) from exc
        return FarmReceipt(name, f"OpenCue job {name}")

    def missing_requirements(self) -> str:
        """Return which packages are missing, or an empty string."""
        missing = [package for package, module in _PACKAGES if not find_spec(module)]
        return f"needs {' and '.join(missing)}; install void-bridge[farm]" if missing else ""

    def status(self, id: str) -> str:
        """Return Cuebot's status of a job.

        Raises:
            UsageError: pycue is not installed.
            NoServer: no Cuebot answers.
            ServerError: Cuebot refuses to answer.
            UnknownJob: Cuebot has no such job.
        """
        with _cuebot() as opencue:
            jobs = [job for job in opencue.api.getJobs(job=[id], include_finished=True) if job.data.name == id]
            if not jobs:
                raise UnknownJob(f"Cuebot has no job {id!r}; it may have been archived")
            return _status_line(jobs[-1].data)


def _outline(outline: Any, bundle: Bundle, options: FarmOptions) -> Any:
    shots = bundle.shot_names()
    names = _layer_names(shots)
    shot = os.environ.get("SHOT") or (_name(shots[0]).rjust(3, "_") if len(shots) == 1 else outline.util.get_shot())
    made = outline.Outline(
        _name(options.name or bundle.name) or "void",
        shot=shot,
        show=outline.util.get_show(),
        user=outline.util.get_user(),
    )
    checks = []
    for each in shots:
        frames = _frames_layer(bundle, options, each, f"remove_{names[each]}")
        check = _check_layer(bundle, options, each, f"check_{names[each]}")
        _after(check, [frames])
        checks.append(check)
        made.add_layer(frames)
        made.add_layer(check)
    comp = numbered_tasks.comp(bundle, "#IFRAME#")
    if comp:
        _check_positive(comp.frames)
        layer = _shell("comp", comp.command, comp.frames, options)
        _after(layer, checks)
        made.add_layer(layer)
    return made


def _frames_layer(bundle: Bundle, options: FarmOptions, shot: str, name: str) -> Any:
    needs = numbered_tasks.host_requirements(bundle, shot)
    requested: Dict[str, Any] = {}
    if needs.memory_mib:
        requested["memory"] = f"{needs.memory_mib}m"
    if needs.gpus:
        requested["gpus"] = needs.gpus
        if needs.gpu_memory_mib:
            requested["gpu_memory"] = f"{needs.gpu_memory_mib}m"
    program = numbered_tasks.parameter(bundle, "VoidBridge")
    command = [program, "farm", "task", "--own-session", "--bundle", str(bundle.folder)]
    numbers = FrameRange(numbered_tasks.task_numbers(bundle, shot))
    return _shell(name, [*command, "--task", "#IFRAME#", "--lines", "plain"], str(numbers), options, **requested)


def _check_layer(bundle: Bundle, options: FarmOptions, shot: str, name: str) -> Any:
    program = numbered_tasks.parameter(bundle, "VoidBridge")
    command = [program, "farm", "check", "--jobs", str(bundle.jobs), f"--shot={shot}", "--lines", "plain"]
    return _shell(name, command, "1", options)


def _shell(name: str, command: Sequence[str], frames: str, options: FarmOptions, **requested: Any) -> Any:
    shell = importlib.import_module("outline.modules.shell")
    if options.pool:
        requested["tags"] = _tags(options.pool)
    return shell.Shell(name, command=[_quoted(each) for each in command], range=frames, chunk=1, **requested)


def _after(layer: Any, others: Sequence[Any]) -> None:
    kinds = importlib.import_module("outline.depend").DependType
    for other in others:
        layer.depend_on(other, kinds.LayerOnLayer)


def _layer_names(shots: Sequence[str]) -> Dict[str, str]:
    """Return the layer name of each shot; names that would be equal get a number."""
    found: Dict[str, str] = {}
    for number, shot in enumerate(shots, 1):
        name = _name(shot) or "shot"
        found[shot] = name if name not in found.values() else f"{name}_{number}"
    return found


def _name(text: str) -> str:
    """Return text as a name that Cuebot accepts; may be empty."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _tags(pool: str) -> List[str]:
    tags = [tag.strip() for tag in re.split(r"[|,]", pool)]
    for tag in tags:
        if not re.fullmatch(r"[\w.]{3,}", tag, re.ASCII):
            raise UsageError(
                f"got pool {pool!r}, expected tags of three or more letters, digits, _ or ., as OpenCue has"
            )
    return tags


def _check_positive(frames: str) -> None:
    if FrameRange.parse(frames).first < 0:
        raise UsageError(
            f"got comp frames {frames}; OpenCue has no negative frames; give other frames with --comp-frames"
        )


def _quoted(argument: str) -> str:
    """Quote an argument for the shell of a worker, with double quotes where they are safe: every system reads them."""
    if re.fullmatch(r"[\w@%+=:,./#-]+", argument, re.ASCII):
        return argument
    windows = re.match(r"\\\\|[A-Za-z]:\\", argument)
    return f'"{argument}"' if windows or not re.search(r'["$`\\!]', argument) else shlex.quote(argument)


@contextmanager
def _pyoutline() -> Iterator[None]:
    """Import pyoutline and pycue for the block, and restore the environment variables that their import changes."""
    held = dict(os.environ)
    try:
        for name in ("outline", "outline.cuerun", "outline.modules.shell", "opencue"):
            importlib.import_module(name)
        yield
    except ImportError as exc:
        raise UsageError(f"OpenCue needs pyoutline and pycue ({exc}); install void-bridge[farm]") from exc
    finally:
        for name in set(os.environ) - set(held):
            del os.environ[name]
        os.environ.update(held)


@contextmanager
def _cuebot() -> Iterator[Any]:
    """Yield pycue, connected to the Cuebot that the environment or pycue's own file names."""
    with _pyoutline():
        opencue = importlib.import_module("opencue")
    cuebot = opencue.Cuebot
    hosts = _hosts(cuebot)
    if not any(_answers(host) for host in hosts):
        raise NoServer(f"no Cuebot answers at {', '.join(hosts)}; set CUEBOT_HOSTS=host:8443, or cuebot.facility")
    held, cuebot.Timeout = cuebot.Timeout, _CALL_S
    try:
        yield opencue
    except (opencue.CueException, _grpc().RpcError) as exc:
        raise ServerError(f"Cuebot refused: {_error_text(exc)}") from exc
    finally:
        cuebot.Timeout = held
        cuebot.closeChannel()


def _hosts(cuebot: Any) -> List[str]:
    """Return host:port of every Cuebot, found as pycue finds them."""
    listed: Any = os.environ.get("CUEBOT_HOSTS", "")
    if listed:
        listed = listed.split(",")
    else:
        facilities, default = cuebot.Config["cuebot.facility"], cuebot.Config.get("cuebot.facility_default")
        listed = facilities.get(os.environ.get("CUEBOT_FACILITY", default), facilities.get(default, []))
    port = cuebot.Config.get("cuebot.grpc_port", 8443)
    names = [listed] if isinstance(listed, str) else listed
    return [name if ":" in name else f"{name}:{port}" for name in names]


def _answers(host: str) -> bool:
    """Return whether a host accepts connections. gRPC alone takes minutes to give up on a silent host."""
    name, _, port = host.rpartition(":")
    try:
        socket.create_connection((name, int(port)), _CONNECT_S).close()
    except (OSError, ValueError):
        return False
    return True


def _active(opencue: Any, name: str) -> Any:
    try:
        return opencue.api.findJob(name)
    except opencue.EntityNotFoundException as exc:
        raise UsageError(f"OpenCue has no active job {name!r}; remove --depends-on if it has finished") from exc


def _settle(job: Any, before: Sequence[Any], comment: str) -> None:
    """Add comment and dependencies, and resume a job that was launched paused because it depends on others."""
    if comment:
        job.addComment("void-bridge", comment)
    for other in before:
        job.createDependencyOnJob(other)
    if before:
        job.resume()


def _grpc() -> Any:
    return importlib.import_module("grpc")


def _error_text(exc: Exception) -> str:
    """Return an error as Cuebot words it."""
    return str(exc.details() if isinstance(exc, _grpc().Call) else exc)


def _status_line(job: Any) -> str:
    """Return a line such as `pending: 3 of 8 frames done, 2 running, 1 dead, 2 waiting`."""
    states = importlib.import_module("opencue_proto.job_pb2").JobState
    stats = job.job_stats
    parts = [f"{stats.succeeded_frames} of {stats.total_frames} frames done"]
    counts = [(getattr(stats, f"{field}_frames"), word) for field, word in _WORDS]
    parts += [f"{count} {word}" for count, word in counts if count]
    paused = ", paused" if job.is_paused else ""
    return f"{states.Name(job.state).lower()}{paused}: {', '.join(parts)}"
