"""The adaptor as a farm runs it: its daemon in a process of its own, and a whole bundle through openjd-cli."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpu_server.private_server import private_server
from tests.support.farm import BIN, Farm, digests, openjd, rules_file
from tests.support.live_server import eventually
from tests.support.shots import disc, write_matte, write_plate
from void_bridge.client import connect
from void_bridge.job import JobFile

pytest.importorskip("openjd.adaptor_runtime")
pytest.importorskip("openjd.cli")

SHORT, LONG = (range(1001, 1007), (32, 48)), (range(1001, 1025), (216, 384))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """HOME, where the runtime writes configuration files; TMPDIR, where its socket is, whose name has to be short."""
    home, temporary = str(tmp_path_factory.mktemp("home")), Path(tempfile.mkdtemp(prefix="vb-"))
    yield {"HOME": home, "USERPROFILE": home, "TMPDIR": str(temporary)}
    left = {path.name for path in temporary.rglob("*")}
    shutil.rmtree(temporary)
    assert left <= {".openjd_adaptor_runtime", "OpenJD"}, "only empty folders of the vendor's programs may stay"


@pytest.fixture
def farm(tmp_path, places):
    return farm_in(tmp_path, places)


def farm_in(folder, places) -> Farm:
    made = Farm(folder)
    made.environment.update(places)
    return made


def bundle_of(farm, folder, kind=SHORT, *options):
    frames, shape = kind
    write_plate(folder / "show", frames, shape)
    write_matte(folder / "show", frames, lambda n: disc(shape, (shape[0] // 2, 16 + 2 * (n - 1000)), shape[0] // 5))
    (folder / "shots.csv").write_text(
        "shot,plate,remove,output,engine,colorspace,exposure\n"
        "sh010,show/plate.####.exr,show/roto.####.exr,out/clean.####.exr,propagate,ACEScg,0\n"
    )
    words = ("farm", "bundle", "--shots", folder / "shots.csv", "-o", folder / "bundle", "--runner", "adaptor")
    assert farm.run(*words, *options).code == 0
    return folder / "bundle"


class Daemon:
    """One session of a farm, in its folder."""

    def __init__(self, farm: Farm) -> None:
        self.farm, self.folder, self.connection = farm, farm.folder, farm.folder / "connection.json"

    def start(self, *words) -> subprocess.Popen[str]:
        command = [BIN / "void-bridge-adaptor", "daemon", words[0], "--connection-file", self.connection, *words[1:]]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([str(word) for word in command], env=self.farm.environment, text=True, **pipes)

    def call(self, *words) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, output)

    def begin(self, *words) -> Daemon:
        began = self.call("start", "--init-data", json.dumps({"gpus": 0}), *words)
        assert began.returncode == 0, began.stdout
        return self

    def end(self) -> str:
        """Stop it, and see that nothing of it is left."""
        ended = self.call("stop")
        assert ended.returncode == 0, ended.stdout
        assert "Traceback" not in ended.stdout
        self.is_gone()
        return ended.stdout

    def is_gone(self) -> None:
        assert eventually(lambda: not self.farm.processes()), "a process is left over"
        assert not list(self.folder.glob(f"{self.connection.name}*"))


@pytest.fixture
def own(farm):
    """A session for one test, which ends it."""
    made = Daemon(farm)
    yield made
    if farm.processes():
        made.call("stop")
        pytest.fail("the session was not ended")


@pytest.fixture(scope="module")
def daemon(places, tmp_path_factory):
    """One session for several tests."""
    made = Daemon(farm_in(tmp_path_factory.mktemp("session"), places))
    rules = [("POSIX", "/made/elsewhere", str(made.folder)), ("WINDOWS", "P:\\made", str(made.folder))]
    made.begin("--path-mapping-rules", f"file://{rules_file(made.folder / 'rules.json', rules)}")
    yield made
    made.end()


def task(bundle, frames, **more):
    data = {"jobs": str(bundle / "jobs"), "shot": "sh010", "frames": frames}
    return "--run-data", json.dumps({**data, **more})


def local_frames(folder, job_file) -> dict[int, str]:
    """Digests of the frames that a local server makes of the same job."""
    job = JobFile.read(job_file).job.replace(output=str(folder / "local/x.####.exr"))
    with private_server(folder / "server") as server, connect(server.config) as client:
        id = client.submit(job).id
        *_, last = client.watch(id)
        assert last.state == "done", last.error
        client.fetch(id)
    return digests(folder / "local")


def test_tasks_share_one_server_and_their_frames_are_those_of_the_local_job(farm, daemon, tmp_path):
    bundle, servers = bundle_of(farm, tmp_path), []
    for frames in ("1001-1004", "1005-1006"):
        ran = daemon.call("run", *task(bundle, frames))
        assert ran.returncode == 0, ran.stdout
        assert "\nopenjd_progress: 100" in ran.stdout
        assert "\nopenjd_status: " in ran.stdout
        servers.append([process.pid for process in daemon.farm.processes("serve --autostarted")])
    assert len(servers[0]) == 1
    assert servers[0] == servers[1]
    assert digests(tmp_path / "out") == local_frames(tmp_path, tmp_path / "out/job.json")


def test_paths_are_mapped_by_the_sessions_rules(daemon):
    shot = daemon.folder / "shot"
    job_file = bundle_of(daemon.farm, shot) / "jobs/sh010.json"
    job_file.write_text(job_file.read_text("utf-8").replace(str(daemon.folder), "/made/elsewhere"), "utf-8")
    assert JobFile.read(job_file).job.plate.startswith("/made/elsewhere/")
    ran = daemon.call("run", *task(shot / "bundle", "1001-1002"))
    assert ran.returncode == 0, ran.stdout
    assert sorted(digests(shot / "out")) == [1001, 1002]


def test_data_that_is_wrong_fails_the_task_in_words_and_the_session_goes_on(farm, daemon, tmp_path):
    bundle = bundle_of(farm, tmp_path)
    wrong = {
        "unknown key 'shoot'; did you mean 'shot'": {"shoot": "x"},
        "got frames 1-4 of sh010, which delivers 1001-1006": {"frames": "1-4"},
        "did you mean 'sh010'": {"shot": "sh01"},
    }
    for words, more in wrong.items():
        ran = daemon.call("run", *task(bundle, **{"frames": "1001", **more}))
        assert ran.returncode == 1
        (failure,) = [line for line in ran.stdout.splitlines() if line.startswith("openjd_fail: ")]
        assert words in failure
        assert "Traceback" not in ran.stdout
    assert daemon.call("run", *task(bundle, "1001")).returncode == 0


def test_a_cancelled_task_keeps_what_is_finished_and_the_next_one_runs(farm, daemon, tmp_path):
    bundle, out = bundle_of(farm, tmp_path, LONG), tmp_path / "out"
    running = daemon.start("run", *task(bundle, "1001-1024"))
    eventually(lambda: running.poll() is not None or digests(out), 120)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 1, output
    assert "frames are finished and kept" in output
    assert json.loads((out / "farm/1001-1024.json").read_text())["state"] == "cancelled"
    assert 1 <= len(digests(out)) < 24
    assert daemon.call("run", *task(bundle_of(farm, tmp_path / "small"), "1001")).returncode == 0


def test_a_session_ends_although_its_task_still_runs(farm, own, tmp_path):
    """`daemon run` is killed, which nobody tells the daemon: it refuses the runtime's own stop."""
    state = tmp_path / "out/farm/1001-1006.json"
    running = own.begin().start("run", *task(bundle_of(farm, tmp_path), "1001-1006"))
    eventually(lambda: farm.processes("gpu_server.worker"))[0].suspend()  # so that it does run
    eventually(state.exists)
    running.kill()
    running.communicate()
    assert "HTTP status code 400" in own.end(), "the runtime's own stop was refused"
    assert json.loads(state.read_text())["state"] == "cancelled"


def test_a_daemon_that_is_killed_leaves_nothing(farm, own):
    own.begin()
    (process,) = farm.processes("daemon _serve")
    process.kill()
    assert eventually(lambda: not farm.processes("daemon _serve"))
    ran = own.call("run", *task(farm.folder, "1001"))
    assert ran.returncode == 1
    assert "\nopenjd_fail: the adaptor's daemon has ended; run the task again in a new session" in ran.stdout
    assert len(farm.processes("serve --autostarted")) == 1
    assert "the adaptor's daemon had already ended" in own.end()


@pytest.mark.skipif(not os.environ.get("VOID_BRIDGE_LONG_TESTS"), reason="set VOID_BRIDGE_LONG_TESTS=1 to run it")
def test_a_daemon_that_does_not_answer_is_killed(farm, own):
    socket = Path(json.loads(own.begin().connection.read_text())["socket"])
    own.connection.write_text(json.dumps({"socket": str(farm.folder / "nobody")}))
    assert "the adaptor's daemon does not answer; killing it" in own.end()
    socket.unlink()  # its name was lost


def test_a_host_that_lacks_the_gpu_does_not_start_and_keeps_nothing(farm, own):
    farm.environment["PATH"] = str(BIN)  # no nvidia-smi
    began = own.call("start", "--init-data", json.dumps({"gpus": 1, "gpu_memory_gb": 24}))
    assert began.returncode == 1
    assert "\nopenjd_fail: " in began.stdout
    assert "asks for 1 GPU with 24 GB, this one has none" in began.stdout
    own.is_gone()
    assert "nothing to stop" in own.end(), "as a session does, however its start ended"


def test_a_second_start_leaves_the_first_session_alone(daemon):
    before = [process.pid for process in daemon.farm.processes()]
    again = daemon.call("start", "--init-data", "{}")
    assert again.returncode == 1
    assert "openjd_fail: Cannot init a new backend process with an existing connection file" in again.stdout
    assert [process.pid for process in daemon.farm.processes()] == before


WATCHED = """
import sys

def watch(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and not is_here(arguments[1])):
        print(f"reached for {arguments}", flush=True)

def is_here(address):
    return isinstance(address, (str, bytes)) or address[0] in ("127.0.0.1", "::1")

sys.addaudithook(watch)
from host_plugins.farm.adaptor.__main__ import main
sys.exit(main())
"""


def test_without_a_daemon_too_and_python_reaches_for_no_network(farm, tmp_path):
    """Everything that Python connects to in one whole run is looked at."""
    data = ("--init-data", "{}", *task(bundle_of(farm, tmp_path), "1001-1006"))
    command = [sys.executable, "-c", WATCHED, "run", *data]
    ran = subprocess.run(command, env=farm.environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert sorted(digests(tmp_path / "out")) == list(range(1001, 1007))
    assert "reached for" not in ran.stdout
    assert eventually(lambda: not farm.processes())


def test_a_whole_bundle_runs_through_the_adaptor(farm, tmp_path):
    bundle = bundle_of(farm, tmp_path, SHORT, "--chunk", 4, "--gpus", 0)
    assert "passes validation" in openjd(farm, "check", bundle / "template.yaml").stdout
    ran = openjd(farm, "run", bundle / "template.yaml")
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.count("starting a local server") == 1, "one server a session"
    assert len(digests(tmp_path / "out")) == 6
    assert (tmp_path / "out/report.json").exists()
    assert eventually(lambda: not farm.processes())
