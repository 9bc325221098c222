"""The logs of a server and its workers, with the job on every line.

log.info("attempt %d starts", 2, extra=of_job(job_id))      where the job is known
with about_job(job_id): ...                                 for everything that this thread logs meanwhile

As text, `2026-11-27 02:14:05,123 INFO [8826d4bf19e6] worker-0: message`, or as JSON, an object a line.
The words of clients and libraries in a message stay inside its line: control characters are escaped.
"""

from __future__ import annotations

import datetime
import faulthandler
import json
import logging
import logging.handlers
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

FILE_BYTES, FILES = 10 * 2**20, 5
_MESSAGE_MAX = 8_000  # characters; the rest is counted
_TRACEBACK_LINES_MAX = 200
_WAITING_MAX = 10_000  # records that wait for a slow disk
_RECORD = "\x1e"  # begins a worker's record among what libraries print; RFC 7464

_LEVELS = {logging.getLevelName(level): level for level in (10, 20, 30, 40, 50)}

_current_job: ContextVar[str] = ContextVar("job", default="")


def of_job(job_id: str, worker: str = "") -> dict[str, str]:
    """Return the `extra` of a logging call.

    Args:
        job_id: the job that it is about.
        worker: the process that it is about, for example `worker-0`.
    """
    return {"job": job_id, "worker": worker}


@contextmanager
def about_job(job_id: str) -> Iterator[None]:
    """Mark the lines that this thread logs meanwhile with a job, unless they name another.

    Args:
        job_id: the job; empty: none.
    """
    before = _current_job.set(job_id)
    try:
        yield
    finally:
        _current_job.reset(before)


# --- lines -------------------------------------------------------------------------------------------


class TextLines(logging.Formatter):
    """A formatter that writes a line for the message and one for each of its traceback, all with the same head."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        entry = _entry(record)
        head = f"{self.formatTime(record)} {record.levelname} "
        head += f"[{_escaped(entry.job)}] " if entry.job else ""
        head += f"{entry.worker}: " if entry.worker else ""
        return "\n".join(head + line for line in (entry.message, *(f"| {line}" for line in entry.traceback)))


class JsonLines(logging.Formatter):
    """A formatter that writes a JSON object.

    Its keys are time (ISO 8601, UTC, milliseconds), level, logger and message, and job, worker and traceback where
    there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry = _entry(record)
        time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        fields: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "job": entry.job,
            "worker": entry.worker,
            "logger": record.name,
            "message": entry.message,
            "traceback": entry.traceback,
        }
        return json.dumps({name: value for name, value in fields.items() if value or name == "message"})


class _LogEntry:
    """The content of a record, ready to be written. From a worker's record, the worker's own."""

    def __init__(self, record: logging.LogRecord) -> None:
        self.job = str(getattr(record, "job", "") or _current_job.get())
        self.worker = str(getattr(record, "worker", ""))
        self.message = _cut(_escaped(record.getMessage()))
        self.traceback: list[str] = [_cut(_escaped(line)) for line in _traceback(record)[-_TRACEBACK_LINES_MAX:]]


def _entry(record: logging.LogRecord) -> _LogEntry:
    """Return the content of a record. It is made once, on the thread that logs: another does not know its job."""
    if not hasattr(record, "entry"):
        record.entry = _LogEntry(record)
    entry: _LogEntry = record.entry
    return entry


def _traceback(record: logging.LogRecord) -> list[str]:
    if record.exc_info and record.exc_info[0]:
        return logging.Formatter().formatException(record.exc_info).splitlines()
    return list(getattr(record, "traceback", ()))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _cut(text: str) -> str:
    more = len(text) - _MESSAGE_MAX
    return text if more <= 0 else f"{text[:_MESSAGE_MAX]}... and {more} characters more"


FORMATS: dict[str, type[logging.Formatter]] = {"text": TextLines, "json": JsonLines}


# --- a server's logs ---------------------------------------------------------------------------------


class ServerLogs:
    """The log handlers of a server. Logging waits for no disk: a thread writes the records, and lost ones are counted.

    Use as: `with ServerLogs("json", sys.stderr) as logs: ...; logs.keep_in(folder)`.

    Args:
        format: `text` or `json`.
        stream: written to in addition to the folder; None: there is none.
    """

    def __init__(self, format: str, stream: IO[str] | None) -> None:
        self._format = format
        self._enqueue = _Enqueue(queue.Queue(_WAITING_MAX))
        self._handlers: list[logging.Handler] = [_Stream(stream)] if stream else []
        self._listener: logging.handlers.QueueListener | None = None
        self._crashes: IO[str] | None = None

    def __enter__(self) -> ServerLogs:
        logging.getLogger().addHandler(self._enqueue)
        logging.getLogger().setLevel(logging.INFO)
        threading.excepthook = _log_thread_exception
        return self

    def keep_in(self, folder: Path) -> None:
        """Write all records, those so far too, to server.log in a folder of the server's own.

        The folder also holds FILES older ones of FILE_BYTES each, and crash.log, to which the interpreter writes
        should it crash.
        """
        path = folder / "server.log"
        self._handlers.append(_LogFile(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"))
        self._crashes = open(folder / "crash.log", "a", encoding="utf-8")  # noqa: SIM115  it stays open
        faulthandler.enable(self._crashes)
        self._listen()

    def _listen(self) -> None:
        for handler in self._handlers:
            handler.setFormatter(FORMATS[self._format]())
        self._listener = logging.handlers.QueueListener(self._enqueue.queue, *self._handlers)
        self._listener.start()

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._enqueue)
        threading.excepthook = threading.__excepthook__
        if not self._listener:
            self._listen()
        assert self._listener
        self._listener.stop()
        if self._crashes:
            faulthandler.disable()
            self._crashes.close()
        for handler in self._handlers:
            handler.close()


class _Enqueue(logging.handlers.QueueHandler):
    """A handler that never waits, and logs how many records found no room."""

    lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        _entry(record)
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self.lost:
                self.queue.put_nowait(_missing(self.lost))
                self.lost = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.lost += 1


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file that says how many lines are missing, once it can be written again."""

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        lost, self.lost = self.lost, 0
        if lost:
            super().emit(_missing(lost))
            self.lost += (lost - 1) if self.lost else 0
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost += 1


class _Stream(logging.StreamHandler[IO[str]]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a terminal that cannot be written: the record is in the file."""


def _missing(count: int) -> logging.LogRecord:
    words = f"{count} log lines are missing here: they could not be written"
    return logging.LogRecord(__name__, logging.ERROR, "", 0, words, (), None)


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "a thread"
    if args.exc_value and args.exc_type is not SystemExit:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(__name__).critical("thread %s has ended", name, exc_info=exc_info)


# --- from a worker to its server ---------------------------------------------------------------------


class _WorkerLines(JsonLines):
    def format(self, record: logging.LogRecord) -> str:
        return _RECORD + super().format(record)


def handler_to_server(stream: IO[str]) -> logging.Handler:
    """Return the handler of a worker, which marks its records so that the server tells them from libraries' output."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_WorkerLines())
    return handler


def log_worker_line(name: str, line: str, jobs: Sequence[str], latest: Sequence[str] = ()) -> list[str]:
    """Log a line of a worker's stderr: records with their level and job, or the output of a library.

    Args:
        name: of the worker.
        line: without its end.
        jobs: the jobs that the worker holds; for records that name none.
        latest: the job that it was given last: the output of a library may be read after the job's end.

    Returns:
        The messages in the line.
    """
    output, *records = line.split(_RECORD)
    entries = [(_fields_of(text), jobs) for text in records]
    if output.strip():
        entries.insert(0, ({"message": output.rstrip()}, jobs or latest))
    for fields, job_ids in entries:
        _log_again(name, fields, ", ".join(job_ids))
    return [str(fields["message"]) for fields, _ in entries]


def _fields_of(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        return {"message": text}
    if isinstance(fields, dict) and "message" in fields and isinstance(fields.get("traceback", []), list):
        return fields
    return {"message": text}


def _log_again(worker: str, fields: dict[str, Any], jobs: str) -> None:
    log = logging.getLogger(str(fields.get("logger", "gpu_server.worker")))
    level = _LEVELS.get(str(fields.get("level")), logging.INFO)
    if log.isEnabledFor(level):
        extra = of_job(str(fields.get("job", "")) or jobs, worker)
        record = logging.makeLogRecord(
            {
                "name": log.name,
                "levelno": level,
                "levelname": logging.getLevelName(level),
                "msg": str(fields["message"]),
                "traceback": list(fields.get("traceback", ())),
                **extra,
            }
        )
        log.handle(record)
