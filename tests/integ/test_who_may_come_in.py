"""Another user of the same machine, and clients whose key is on the list, or no longer."""

import json
import os
import signal
import stat
from contextlib import contextmanager
from dataclasses import asdict

import pytest

from tests.support.live_server import _LAUNCH, REPOSITORY, eventually, settings
from tests.support.strangers import ANNA, WHY_NOT, python_for_all, two_users
from void_bridge.connection import Connection

pytestmark = pytest.mark.skipif(not python_for_all(), reason=WHY_NOT)

WORK = """
import json, sys
from pathlib import Path
from tests.support.live_server import Client, make_plate, make_submit, settings
home = Path(sys.argv[1])
submit = make_submit(make_plate(home / "plates"), preview="a picture")
with Client.of(settings(home)) as client:
    client.upload(submit)
    client.reaches(submit.id, "done")
    print(json.dumps([frame.path for frame in client.result_of(submit.id).frames]))
"""

LOOK = """
import json, os, sys
readable, written = [], []
for folder, names, files in os.walk(sys.argv[1], onerror=lambda error: None):
    for name in files:
        path = os.path.join(folder, name)
        try:
            open(path, "rb").close()
            readable.append(path)
        except OSError:
            pass
    for name in ("start.lock", "server.log", "void_bridge", "local.json", "journal.sqlite"):
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT))
            written.append(os.path.join(folder, name))
        except OSError:
            pass
for path in json.loads(sys.argv[2]):
    for what in (os.stat, os.unlink, os.listdir, lambda path: os.rename(path, path + ".gone")):
        try:
            what(path)
            written.append(path)
        except OSError:
            pass
print(json.dumps({"readable": readable, "written": written}))
"""

KNOCK = """
import json, sys
import msgpack, zmq
from tests.support.live_server import Peer
control, data, server_public = sys.argv[1:]
answers = {}
for name, address in (("control", control), ("data", data)):
    for way in ("nothing", "own keys"):
        with zmq.Context() as context:
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            if way == "own keys":
                socket.curve_serverkey = server_public.encode()
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.connect(address)
            socket.send(msgpack.packb({"type": "ping", "n": 1, "body": {}}))
            answers[f"{name} with {way}"] = bool(socket.poll(500))
            socket.close()
print(json.dumps(answers))
"""


@pytest.fixture
def people():
    with two_users() as people:
        yield people


@contextmanager
def served(anna, code, *words, run="run", **variables):
    """Start a server of Anna's, and return her connection file; all its processes end with the test."""
    process = anna.start(code, *words, **variables)
    try:
        found = eventually(lambda: process.poll() is not None or list((anna.home / run).glob("*.json")))
        assert process.poll() is None, process.communicate()[1]
        yield Connection(**json.loads(found[0].read_text()))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def server_of(anna):
    """Start a server as the other tests do, with scripted workers."""
    own = settings(anna.home, worker_command=(python_for_all(), str(REPOSITORY / "tests/support/scripted_worker.py")))
    with served(anna, _LAUNCH, json.dumps(asdict(own), default=str), "text") as found:
        yield found


def test_another_user_cannot_drive_a_server_or_see_what_it_holds(people):
    anna, bob, _ = people
    with server_of(anna) as found:
        frames = anna.does(WORK, anna.home)
        files = [str(path) for path in (anna.home / "run").glob("*.json")]
        assert len(frames) == 4 and len(files) == 2
        seen = bob.does(LOOK, anna.home, json.dumps([*files, *frames]))
        answers = bob.does(KNOCK, found.control_address, found.data_address, found.server_public)
        code, said = bob.runs("jobs", VOID_BRIDGE_RUNTIME_DIR=anna.home / "run", VOID_BRIDGE_AUTOSTART="off")
        mine, _ = anna.runs("jobs", VOID_BRIDGE_RUNTIME_DIR=anna.home / "run", VOID_BRIDGE_AUTOSTART="off")
    plates = {str(path) for path in (anna.home / "plates").iterdir()}  # made by Anna herself, for all to read
    assert set(seen["readable"]) == plates
    assert seen["written"] == []
    assert answers == dict.fromkeys(answers, False) and len(answers) == 4
    assert code == 1 and "cannot read connection file" in said and "Permission denied" in said
    assert mine == 0


def test_a_server_that_a_client_starts_is_as_private(people):
    """The server is `serve --autostarted`, which logs to a file of its spool; its folders are the defaults."""
    anna, bob, _ = people
    code = "from void_bridge.cli.main import main; raise SystemExit(main(['serve', '--autostarted']))"
    run = f".local/state/void-bridge/run/{os.uname().nodename}"
    with served(anna, code, run=run):
        spool = anna.home / ".local/state/void-bridge/spool"
        assert (spool / "logs" / "server.log").exists() and (spool / "journal.sqlite").exists()
        files = [spool / "logs" / "server.log", *(anna.home / run).iterdir()]
        seen = bob.does(LOOK, anna.home, json.dumps([str(path) for path in files]))
    assert seen == {"readable": [], "written": []}


TRAP = """
import fcntl, json, os, sys, time
from pathlib import Path
run, victim = Path(sys.argv[1]), sys.argv[2]
package = run / "void_bridge"
package.mkdir(parents=True)
run.chmod(0o777)
package.joinpath("__init__.py").write_text(f"import os; open({victim!r} + '.caught', 'w')")
(run / "server.log").symlink_to(victim)
lock = open(run / "start.lock", "w")
os.chmod(run / "start.lock", 0o666)
if sys.argv[3] == "held":
    fcntl.flock(lock, fcntl.LOCK_EX)
print("set", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("lock", ["held", "free"])
def test_a_runtime_folder_that_another_user_made_first_is_not_used(people, lock):
    """The folder is below one like /tmp, with a package to import, a log that is a link, and a taken lock."""
    anna, bob, shared = people
    victim = anna.home / "diary"
    victim.write_text("dear diary")
    os.chown(victim, ANNA, ANNA)
    trap = bob.start(TRAP, shared / "void", victim, lock)
    try:
        assert trap.stdout.readline() == "set\n"
        code, said = anna.runs("jobs", VOID_BRIDGE_RUNTIME_DIR=shared / "void")
        served_code, served_said = anna.runs("serve", VOID_BRIDGE_RUNTIME_DIR=shared / "void")
    finally:
        trap.kill()
        trap.communicate()
    assert code == 1 and "does not belong to this user" in said
    assert served_code == 1 and "does not belong to this user" in served_said
    assert victim.read_text() == "dear diary" and not victim.with_name("diary.caught").exists()


def test_a_link_to_a_folder_of_this_user_is_refused(people):
    anna, bob, shared = people
    bob.does("import os, sys; os.symlink(*sys.argv[1:]); print(0)", anna.home, shared / "void")
    code, said = anna.runs("serve", VOID_BRIDGE_RUNTIME_DIR=shared / "void")
    assert code == 1 and "does not belong to this user" in said


def test_a_folder_that_everybody_can_exchange_is_not_used(people):
    anna, _, shared = people
    shared.chmod(0o777)
    code, said = anna.runs("serve", VOID_BRIDGE_RUNTIME_DIR=shared / "void")
    assert code == 1 and f"because {shared} is writable for all" in said


@pytest.mark.parametrize("name", ["journal.sqlite", "blobs", "jobs", "logs"])
def test_a_spool_into_which_another_user_has_put_something_is_refused(people, name):
    anna, bob, shared = people
    put = "import os, sys; from pathlib import Path; p = Path(sys.argv[1]); p.touch() if p.suffix else p.mkdir(); "
    bob.does(put + "p.chmod(0o777); print(0)", shared / name)
    code, said = anna.runs("serve", "--spool", str(shared), VOID_BRIDGE_RUNTIME_DIR=anna.home / "run")
    assert code == 1 and f"{shared / name} belongs to another user" in said


def test_a_spool_in_a_folder_open_to_all_is_closed(people):
    anna, bob, shared = people
    code = f"from void_bridge.cli.main import main; raise SystemExit(main(['serve', '--spool', {str(shared)!r}]))"
    with served(anna, code, VOID_BRIDGE_RUNTIME_DIR=anna.home / "run"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir()}
        seen = bob.does(LOOK, shared, "[]")
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert seen["readable"] == []
