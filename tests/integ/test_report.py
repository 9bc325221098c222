"""The content of `void-bridge report`, and the secrets that it leaves out."""

import json
import stat
import zipfile
from pathlib import Path

import pytest

from tests.integ.test_secrets_stay_secret import assert_nowhere
from tests.support.key_folders import make_key_folder
from tests.support.live_server import Client, ServerProcess, make_plate, make_submit, settings
from void_bridge.cli.main import main
from void_bridge.cli.report import find_secrets, pack_report
from void_bridge.config import Config
from void_bridge.connection import connection_path, read_connection
from void_bridge.keyfiles import read_pair

PICTURES = (b"\x76\x2f\x31\x01", b"\x89PNG", b"\xff\xd8\xff", b"frame 100")


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Run a server with keys, a failed job, and a job with frames and a preview."""
    folder = tmp_path_factory.mktemp("report")
    server_settings = settings(folder, keys=make_key_folder(folder / "keys"))
    with ServerProcess(server_settings), Client.of(server_settings) as client:
        plate = make_plate(folder / "plates")
        lost = make_submit(plate, fail=["engine", "the model has no weights"], say="a last word")
        done = make_submit(plate, preview="\x89PNG and more")
        for submit, state in ((lost, "failed"), (done, "done")):
            client.upload(submit)
            client.reaches(submit.id, state)
        yield folder, lost.id, done.id


@pytest.fixture
def here(failed, tmp_path, monkeypatch):
    folder = failed[0]
    places = {"SPOOL": folder / "spool", "RUNTIME_DIR": folder / "run", "KEYS": folder / "keys", "CONFIG": "none.toml"}
    for name, value in places.items():
        monkeypatch.setenv(f"VOID_BRIDGE_{name}", str(value))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(words, capsys):
    assert main(["report", *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    with zipfile.ZipFile(result["report"]) as bundle:
        parts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert set(result["parts"]) == set(parts) - {"README.txt"}
    return Path(result["report"]), parts


def test_a_report_has_settings_logs_jobs_and_findings(failed, here, capsys):
    _, lost, done = failed
    path, parts = made([lost], capsys)
    assert path.parent == here and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"[{lost}] failed: the model has no weights" in parts["logs/server.log"]
    assert f"[{lost}] worker-0: a last word" in parts["logs/server.log"]
    result = json.loads(parts[f"jobs/{lost}.json"])
    assert result["status"]["error"]["message"] == "the model has no weights" and result["frames"] == 4
    assert {job["id"]: job["state"] for job in json.loads(parts["jobs.json"])} == {lost: "failed", done: "done"}
    assert json.loads(parts["config.json"])["spool"]["from"] == "VOID_BRIDGE_SPOOL"
    findings = {finding["name"] for finding in json.loads(parts["doctor.json"])}
    assert {"python", "spool", "answer"} <= findings
    about = json.loads(parts["about.json"])
    assert any(package.startswith("pyzmq ") for package in about["packages"])
    assert json.loads(parts["server.json"])["welcome"]["server"].startswith("void-bridge ")
    assert all(name in parts["README.txt"] for name in parts if name != "README.txt")
    assert not [name for name in parts if "failed.txt" in name]


def test_a_report_has_no_keys_and_no_pictures(failed, here, capsys):
    folder, lost, done = failed
    path, _ = made([lost, done], capsys)
    with zipfile.ZipFile(path) as bundle:
        everything = b"\n".join(bundle.read(name) for name in bundle.namelist())
    secrets = {
        "the server": read_pair(folder / "keys" / "server.key_secret").secret,
        "the client": read_pair(folder / "keys" / "client.key_secret").secret,
        "the connection file": read_connection(connection_path(folder / "run")).client_secret,
    }
    assert len(everything) > 5000
    assert_nowhere(secrets, everything)
    assert not any(picture in everything for picture in PICTURES)


def test_a_key_in_a_log_is_hidden(failed):
    folder = failed[0]
    config = Config(keys=folder / "keys", runtime_dir=folder / "run")
    found = find_secrets(config)
    secret = read_pair(folder / "keys" / "server.key_secret").secret
    of_file = read_connection(connection_path(folder / "run")).client_secret
    assert {secret.encode(), of_file.encode()} <= found
    packed = pack_report([("logs/server.log", f"it was {secret} and {of_file}")], found)
    (here := Path(folder / "with-a-key.zip")).write_bytes(packed)
    with zipfile.ZipFile(here) as bundle:
        assert bundle.read("logs/server.log") == b"it was (a key was here) and (a key was here)"


def test_a_report_without_a_server_has_the_journal_and_the_logs(failed, here, capsys, monkeypatch):
    _, lost, _ = failed
    monkeypatch.setenv("VOID_BRIDGE_RUNTIME_DIR", str(here / "run"))
    _, parts = made([], capsys)
    assert "start one with void-bridge serve" in parts["server.failed.txt"]
    [job] = [job for job in json.loads(parts["journal.json"])["newest"] if job["id"] == lost]
    assert job["error_message"] == "the model has no weights" and job["spec"]["plate"]
    assert "failed: the model has no weights" in parts["logs/server.log"]


def test_an_unknown_job_is_reported_in_its_part(failed, here, capsys):
    _, parts = made(["000000000000"], capsys)
    assert "UnknownJob" in parts["jobs/000000000000.json.failed.txt"]


def test_a_damaged_journal_does_not_stop_a_report(here, capsys, monkeypatch):
    spool = here / "spool"
    (spool / "logs").mkdir(parents=True)
    (spool / "journal.sqlite").write_bytes(b"no journal" * 1000)
    (spool / "logs" / "server.log").write_bytes(b"\xff\xfe a line\n" * 600_000)
    monkeypatch.setenv("VOID_BRIDGE_SPOOL", str(spool))
    _, parts = made([], capsys)
    assert "DatabaseError" in parts["spool.failed.txt"]
    assert len(parts["logs/server.log"]) <= 5 * 2**20


def test_an_existing_report_is_not_overwritten(here, capsys):
    (here / "mine.zip").write_text("mine")
    assert main(["report", "-o", "mine.zip"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (here / "mine.zip").read_text() == "mine"


def test_a_report_folder_that_cannot_be_written_is_reported(here, capsys):
    (here / "file").write_text("mine")
    assert main(["report", "-o", "file/mine.zip"]) == 2
    assert "cannot write file/mine.zip" in capsys.readouterr().err
