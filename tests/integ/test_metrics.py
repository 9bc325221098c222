"""The port for Prometheus: what it counts while jobs run, whom it answers, and whom it lets go."""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from contextlib import ExitStack, suppress

import psutil
import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from gpu_server.server import connection_limiter, metrics
from gpu_server.server.app import Server
from gpu_server.server.settings import ServerSettings
from tests.support.live_server import (
    REPOSITORY,
    Client,
    Peer,
    eventually,
    make_plate,
    make_submit,
    running,
    settings,
)
from void_bridge.config import Config
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import ConfigError, Refused, UnknownJob
from void_bridge.protocol.messages import GetServerStatus, Ping, Pong


@pytest.fixture
def port():
    """Return a port that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def served(tmp_path, port):
    with running(settings(tmp_path, metrics_port=port)) as server, Client.of(server.settings) as client:
        yield server, client


def get(port, path="/metrics", method="GET", **headers):
    """Return status and text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def values(port):
    """Return (name, *label values in the order of their names) -> value of a page, read by Prometheus's own parser."""
    status, text = get(port)
    assert status == 200, text
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name.removeprefix("void_bridge_"), *(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_counts_are_those_of_the_jobs(tmp_path, served, port):
    _, client = served
    plate, gate = make_plate(tmp_path / "plate"), tmp_path / "gate"
    runs = client.upload(make_submit(plate, gate=str(gate), gate_at=1003, resolve=0.5, user="anna")).status.id
    waits = client.upload(make_submit(plate)).status.id
    client.cancel(client.upload(make_submit(plate)).status.id)
    client.reaches(runs, "running")
    found = eventually(lambda: (v := values(port))["frames_total",] == 2 and v)
    status = client.control.ask(GetServerStatus())
    assert {state: found["jobs", state] for state in status.jobs} == status.jobs
    assert (found["jobs", "running"], found["jobs", "queued"]) == (1, 1)
    assert (found["workers", "running"], found["workers", "idle"], found["clients",]) == (1, 0, 1)
    assert found["spool_bytes",] == status.spool.used_bytes > 4 * 3000
    assert 0 < found["oldest_queued_job_age_seconds",] < 20 and 0 <= found["worker_silent_seconds", "0"] < 20
    assert found["jobs_ended_total", "cancelled"] == 1
    gate.touch()
    for job_id in (runs, waits):
        client.reaches(job_id, "done")
    status = client.status(runs)
    found = values(port)
    assert (found["frames_total",], found["jobs_ended_total", "done"], found["jobs_ended_total", "failed"]) == (8, 2, 0)
    assert found["job_seconds_count", "scripted"] == found["job_seconds_bucket", "scripted", "+Inf"] == 1
    assert found["job_seconds_sum", "scripted"] == pytest.approx(status.seconds)
    assert found["job_seconds_count", "other"] == 1  # `auto`, which this worker never resolved
    assert (found["oldest_queued_job_age_seconds",], found["workers", "idle"]) == (0, 1)
    assert not any(name == "worker_silent_seconds" for name, *_ in found)
    assert found["answer_seconds_count", "control"] > found["answer_seconds_count", "data"] > 0


def test_faults_are_counted(tmp_path, served, port, monkeypatch):
    server, client = served
    plate = make_plate(tmp_path / "plate")
    client.reaches(client.upload(make_submit(plate, die_at=1002)).status.id, "done")
    client.reaches(client.upload(make_submit(plate, fail=["engine", "no"])).status.id, "failed")
    for _ in range(3):
        with pytest.raises(UnknownJob):
            client.status("nobody")
    found = values(port)
    assert (found["worker_losses_total", "0"], found["jobs_ended_total", "failed"]) == (1, 1)
    assert found["refused_messages_total", "unknown_job", "control"] == 3
    assert (found["turned_away_keys_total",], found["shut_connections_total", "control"]) == (0, 0)
    monkeypatch.setattr(connection_limiter, "STRANGERS_MAX", 2)
    address = read_connection(connection_path(server.settings.runtime_dir))
    host, _, at = address.control_address.removeprefix("tcp://").rpartition(":")
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection((host, int(at))))
        eventually(lambda: values(port)["shut_connections_total", "control"] == 2)
    keys = [key.decode() for key in zmq.curve_keypair()]
    with Peer(address.control_address, address.server_public, *keys, hello=False):
        eventually(lambda: values(port)["turned_away_keys_total",] >= 1)


def test_the_page_names_no_user_job_or_file(tmp_path, served, port):
    _, client = served
    plate = make_plate(tmp_path / "secret shot")
    done = client.upload(make_submit(plate, user="anna", output="/out/hush.####.exr")).status.id
    client.reaches(done, "done")
    text = get(port)[1]
    assert not [word for word in ("anna", "secret", "hush", "plate", done, str(tmp_path)) if word in text]


def test_the_rules_for_names_are_kept(served, port):
    families = list(text_string_to_metric_families(get(port)[1]))
    assert len(families) > 15
    for family in families:
        assert family.name.startswith("void_bridge")
        assert family.type != "counter" or all(sample.name.endswith("_total") for sample in family.samples)
        assert not any(word in family.name for word in ("_ms", "_mb", "_kb"))


def test_the_reference_has_every_metric_of_the_page(tmp_path, served, port):
    """Every metric has a value on the page; names, kinds and labels are compared."""
    _, client = served
    plate, gate = make_plate(tmp_path / "plate"), tmp_path / "gate"
    client.reaches(client.upload(make_submit(plate)).status.id, "done")
    client.reaches(client.upload(make_submit(plate, gate=str(gate))).status.id, "running")
    with pytest.raises(UnknownJob):
        client.status("nobody")
    found = {}
    for family in text_string_to_metric_families(get(port)[1]):
        name = family.name.removeprefix("void_bridge_") + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
    gate.touch()
    text = (REPOSITORY / "docs/reference/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \| (gauge|counter|histogram) \| (.*?) \|", text, re.M)
    documented = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert documented == found


FORBIDDEN = (403, "use the name 127.0.0.1\n")
ELSEWHERE = ("evil.example", "127.0.0.1.evil.example", "evil.example:{port}", "", "127.0.0.1:9:9", "127.0.0.1, evil")


def test_a_request_by_another_host_name_is_refused(served, port):
    for host in ELSEWHERE:
        assert get(port, Host=host.format(port=port)) == FORBIDDEN, host
    for request in (b"GET /metrics\r\n\r\n", b"GET /metrics HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request)
            assert connection.makefile("rb").read().endswith(FORBIDDEN[1].encode())
    assert get(port, Host=f"localhost:{port}")[0] == get(port, Host="LOCALHOST")[0] == 200
    assert get(port, "/metrics?x=1")[0] == 200


def test_no_other_site_may_read_the_page(served, port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics", headers={"Origin": "https://elsewhere.example"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control-")]
    connection.close()


def test_there_is_one_page_and_one_method(served, port):
    assert get(port, "/")[0] == get(port, "/metrics/../etc")[0] == get(port, "/<b>")[0] == 404
    assert get(port, method="POST")[0] == get(port, method="DELETE")[0] == 405


def test_only_loopback_listens(served, port):
    listening = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]


def test_silent_connections_block_neither_pages_nor_the_server_nor_its_end(tmp_path, port):
    with ExitStack() as stack:
        with running(settings(tmp_path, metrics_port=port)) as server, Client.of(server.settings) as client:
            for _ in range(metrics.CONNECTIONS_MAX - 1):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                silent.sendall(b"GET /met")
            assert eventually(lambda: answered(port))[0] == 200
            assert client.control.ask(Ping()) == Pong()
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            one_too_many = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            assert one_too_many.recv(1) == b""
            assert client.control.ask(Ping()) == Pong()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def answered(port):
    """Return the answer, or None if the connection was not let in: the last one may not be over yet."""
    try:
        return get(port)
    except OSError:
        return None


def test_a_connection_that_trickles_is_shut(served, port, monkeypatch):
    monkeypatch.setattr(metrics, "_CONNECTION_S", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert slow.recv(1) == b""


@pytest.mark.parametrize("thread", ["Thread-", "timer"])
def test_threads_that_cannot_start_do_not_use_up_the_connections(served, port, monkeypatch, thread):
    start = threading.Thread.start

    def refuse_some(self):
        if thread == "timer" if isinstance(self, threading.Timer) else self.name.startswith(thread):
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_some)
        for _ in range(metrics.CONNECTIONS_MAX + 1):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as refused:
                refused.sendall(b"GET /metrics HTTP/1.1\r\n")
                with suppress(ConnectionResetError):
                    assert refused.recv(1) == b""
    assert eventually(lambda: answered(port))[0] == 200


def test_a_server_that_does_not_answer_in_time_gives_503(served, port, monkeypatch):
    server, _ = served
    monkeypatch.setattr(metrics, "_ANSWER_S", 0.1)
    busy, let_go = threading.Event(), threading.Event()
    server._control.mailbox.post(lambda: (busy.set(), let_go.wait(20)))
    busy.wait(20)
    assert get(port) == (503, "the server does not answer in time\n")
    let_go.set()
    assert eventually(lambda: get(port)[0] == 200)


def test_a_port_that_is_taken_is_refused_in_words_and_leaves_nothing(tmp_path, port):
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(Refused, match=rf"metrics on 127.0.0.1:{port}.*in use.*--metrics-port, or 0 for none"):
            Server(settings(tmp_path, metrics_port=port))
        started_by_a_client = settings(tmp_path, metrics_port=port, autostarted=True)  # whose job matters more
        with running(started_by_a_client), Client.of(started_by_a_client) as client:
            assert client.control.ask(GetServerStatus()).pid == os.getpid()
    with running(settings(tmp_path, metrics_port=port)):
        assert get(port)[0] == 200


def test_no_port_is_the_default_and_the_configuration_names_one(tmp_path):
    assert ServerSettings.from_config(Config()).metrics_port == settings(tmp_path).metrics_port == 0
    assert ServerSettings.from_config(Config(metrics_port=9464)).metrics_port == 9464
    with pytest.raises(ConfigError, match="got metrics_port 70000, expected 0 to 65535"):
        Config(metrics_port=70000)
    with running(settings(tmp_path)) as server:
        assert server._metrics is None
