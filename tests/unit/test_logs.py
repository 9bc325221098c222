"""The lines of the log: they name their job, and the words of others cannot forge one."""

import io
import json
import logging
import re
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_server.logs import (
    FILES,
    JsonLines,
    ServerLogs,
    TextLines,
    about_job,
    handler_to_server,
    log_worker_line,
    of_job,
)
from tests.support.live_server import eventually

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ (\[(?P<job>[^]]*)\] )?((?P<worker>worker-\d+): )?(?P<message>.*)"
)

HOSTILE = st.text(st.characters(codec=None) | st.sampled_from("\n\r\x1b\x1e\x85\u2028\u202e\0"), max_size=200)


def record(message, exc_info=None, **extra):
    made = logging.getLogger("gpu_server.test").makeRecord(
        "gpu_server.test", logging.INFO, "", 0, "%s", (message,), exc_info, extra=extra
    )
    return made


def failure(words):
    try:
        raise ValueError(words)
    except ValueError:
        return sys.exc_info()


@given(HOSTILE, HOSTILE)
def test_a_text_line_stays_one_and_begins_as_every_other(words, job):
    [line] = TextLines().format(record(words, job=job)).splitlines()
    assert line.isprintable() and LINE.fullmatch(line)


@given(HOSTILE, HOSTILE)
def test_a_json_line_is_one_object(words, job):
    [line] = JsonLines().format(record(words, job=job)).splitlines()
    fields = json.loads(line)
    assert line.isascii() and fields["level"] == "INFO" and fields["message"].isprintable()


@given(HOSTILE)
def test_every_line_of_a_traceback_has_the_job(words):
    lines = TextLines().format(record("it failed", failure(words), job="8826d4bf19e6")).split("\n")
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found) and {match["job"] for match in found} == {"8826d4bf19e6"}
    assert found[1]["message"].startswith("| Traceback") and all(m["message"].startswith("| ") for m in found[1:])


def test_a_line_says_when_how_grave_which_job_and_which_worker():
    match = LINE.fullmatch(TextLines().format(record("ready on cpu", job="8826d4bf19e6", worker="worker-1")))
    assert (match["job"], match["worker"]) == ("8826d4bf19e6", "worker-1")
    assert match["message"] == "ready on cpu"


def test_json_has_the_time_in_utc_and_only_what_there_is():
    made = record("done")
    made.created = 1_700_000_000.5
    assert json.loads(JsonLines().format(made)) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "INFO",
        "logger": "gpu_server.test",
        "message": "done",
    }


def test_a_very_long_message_is_cut_and_says_by_how_much():
    line = TextLines().format(record("x" * 1_000_000))
    assert len(line) < 10_000 and line.endswith("... and 992000 characters more")


def test_a_thread_is_about_one_job_and_a_call_may_say_another():
    with about_job("first"):
        with about_job("second"):
            inner = TextLines().format(record("a"))
        own, other = TextLines().format(record("b")), TextLines().format(record("c", **of_job("third")))
    assert [LINE.fullmatch(line)["job"] for line in (inner, own, other)] == ["second", "first", "third"]
    assert LINE.fullmatch(TextLines().format(record("d")))["job"] is None


# --- a server's ----------------------------------------------------------------------------------


@pytest.fixture
def log():
    found = logging.getLogger("gpu_server.test")
    before = logging.getLogger().level
    yield found
    logging.getLogger().setLevel(before)


def test_records_from_before_the_folder_was_known_are_in_the_file(tmp_path, log):
    stream = io.StringIO()
    with ServerLogs("text", stream) as logs:
        log.info("before")
        logs.keep_in(tmp_path)
        log.info("after", extra=of_job("8826d4bf19e6"))
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert [LINE.fullmatch(line)["message"] for line in lines] == ["before", "after"]
    assert stream.getvalue().splitlines() == lines


def test_without_a_folder_the_stream_has_it_all(log):
    stream = io.StringIO()
    with ServerLogs("json", stream):
        log.info("the spool is in use")
    assert json.loads(stream.getvalue())["message"] == "the spool is in use"


def test_the_job_is_that_of_the_thread_that_logs(tmp_path, log):
    with ServerLogs("text", None) as logs:
        logs.keep_in(tmp_path)
        with about_job("mine"):
            log.info("here")
    assert "[mine] here" in (tmp_path / "server.log").read_text()


def test_a_thread_that_ends_by_a_fault_is_logged(tmp_path):
    with ServerLogs("text", None) as logs:
        logs.keep_in(tmp_path)
        thread = threading.Thread(target=lambda: 1 / 0, name="control")
        thread.start()
        thread.join()
    said = (tmp_path / "server.log").read_text()
    assert "CRITICAL thread control has ended" in said and "| ZeroDivisionError" in said


class Stuck(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.go, self.reached = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        self.go.wait()
        return super().write(text)


def test_a_stream_that_stalls_blocks_no_thread_and_dropped_lines_are_counted(log, monkeypatch):
    monkeypatch.setattr("gpu_server.logs._WAITING_MAX", 10)
    stream = Stuck()
    with ServerLogs("text", stream) as logs:
        logs._listen()
        log.info("first")
        stream.reached.wait()
        for number in range(30):
            log.info("line %d", number)
        stream.go.set()
        eventually(lambda: not logs._enqueue.queue.qsize())
        log.info("last")
    said = [LINE.fullmatch(line)["message"] for line in stream.getvalue().splitlines()]
    assert said[:2] == ["first", "line 0"] and said[-1] == "last"
    [lost] = [int(line.split()[0]) for line in said if "lines are missing here" in line]
    assert lost == 32 - len([line for line in said if "missing" not in line])


class FullFile(io.StringIO):
    full = True

    def write(self, text):
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_file_without_room_is_no_fault_and_what_is_missing_is_counted(tmp_path, log):
    with ServerLogs("text", None) as logs:
        logs.keep_in(tmp_path)
        file = logs._handlers[0]
        file.acquire()
        real, file.stream = file.stream, FullFile()
        file.release()
        for number in range(5):
            log.info("line %d", number)
        eventually(lambda: file.lost == 5)
        file.acquire()
        file.stream.full = False
        written, file.stream = file.stream, real
        file.release()
        log.info("there is room again")
        assert not written.getvalue()
    first, second = (tmp_path / "server.log").read_text().splitlines()
    assert "5 log lines are missing here" in first and "there is room again" in second


def test_logs_do_not_fill_the_disk(tmp_path, log, monkeypatch):
    monkeypatch.setattr("gpu_server.logs.FILE_BYTES", 4_000)
    with ServerLogs("text", None) as logs:
        logs.keep_in(tmp_path)
        for number in range(1_000):
            log.info("line %d", number)
    files = sorted(tmp_path.glob("server.log*"))
    assert len(files) == FILES + 1 and all(file.stat().st_size <= 4_000 for file in files)
    assert "line 999" in (tmp_path / "server.log").read_text()


# --- a worker's ----------------------------------------------------------------------------------


def said_by_worker(act):
    """Return the lines that a worker writes to its stderr."""
    stream = io.StringIO()
    log = logging.Logger("gpu_server.engines.void")
    log.addHandler(handler_to_server(stream))
    act(log, stream)
    return stream.getvalue()


def logged_again(text, caplog, jobs=()):
    with caplog.at_level(logging.DEBUG):
        messages = [
            message for line in text.rstrip("\n").split("\n") for message in log_worker_line("worker-0", line, jobs)
        ]
    assert [record.getMessage() for record in caplog.records] == messages
    lines = [TextLines().format(record).split("\n")[0] for record in caplog.records]
    return [LINE.fullmatch(line) for line in lines], caplog.records


def test_a_workers_record_keeps_level_logger_job_and_traceback(caplog):
    def act(log, _):
        with about_job("mine"):
            log.error("unexpected\nline", exc_info=failure("no"))

    [line], [record] = logged_again(said_by_worker(act), caplog, jobs=["other"])
    assert (record.levelname, record.name, line["job"], line["worker"]) == (
        "ERROR",
        "gpu_server.engines.void",
        "mine",
        "worker-0",
    )
    assert line["message"].startswith("unexpected\\nline")
    assert record.traceback[0].startswith("Traceback") and record.traceback[-1] == "ValueError: no"


def test_output_of_a_library_is_about_the_jobs_that_the_worker_holds(caplog):
    lines, records = logged_again("Segmentation fault\n", caplog, jobs=["first", "second"])
    assert lines[0]["job"] == "first, second" and records[0].levelno == logging.INFO


def test_output_that_is_read_late_is_about_the_last_job_and_records_are_not(caplog):
    with caplog.at_level(logging.DEBUG):
        log_worker_line("worker-0", "Segmentation fault", [], ["last"])
        log_worker_line("worker-0", said_by_worker(lambda log, _: log.info("leaving")).rstrip(), [], ["last"])
    assert [record.job for record in caplog.records] == ["last", ""]


def test_a_record_after_output_without_a_line_end_is_recognised(caplog):
    def act(log, stream):
        stream.write("50% ")
        log.warning("the cache is full")

    (first, second), records = logged_again(said_by_worker(act), caplog)
    assert (first["message"], second["message"]) == ("50%", "the cache is full")
    assert records[1].levelname == "WARNING"


ALMOST = st.sampled_from(["{}", "[]", "1", '{"message": [1]}', '{"message": "a", "level": 7, "traceback": 3}'])


@given(st.text(max_size=100) | st.builds("\x1e{}".format, st.text(max_size=100) | ALMOST))
def test_nothing_that_a_worker_writes_brings_the_server_down(text):
    for line in text.split("\n"):
        log_worker_line("worker-0", line, ["job"])
