"""The logs of a server and its workers: on every line the job that it is about.

log.info("attempt %d starts", 2, extra=of_job(job_id))      where the job is known
with about_job(job_id): ...                                 for everything that this thread logs meanwhile

As text, `2026-11-27 02:14:05,123 INFO [8826d4bf19e6] worker-0: message`, or as JSON, an object a line.
What clients and libraries say in a message stays inside its line: control characters are escaped.
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

_about: ContextVar[str] = ContextVar("job", default="")


def of_job(job_id: str, worker: str = "") -> dict[str, str]:
    """For `extra` of a logging call. worker: the process that it is about, for example `worker-0`."""
    return {"job": job_id, "worker": worker}


@contextmanager
def about_job(job_id: str) -> Iterator[None]:
    """What is logged on this thread meanwhile is about a job, unless it says otherwise."""
    before = _about.set(job_id)
    try:
        yield
    finally:
        _about.reset(before)


# --- lines -------------------------------------------------------------------------------------------


class TextLines(logging.Formatter):
    """A line, and one for each of its traceback, all with the same head."""

    def format(self, record: logging.LogRecord) -> str:
        told = _told(record)
        head = f"{self.formatTime(record)} {record.levelname} "
        head += f"[{_escaped(told.job)}] " if told.job else ""
        head += f"{told.worker}: " if told.worker else ""
        return "\n".join(head + line for line in (told.message, *(f"| {line}" for line in told.traceback)))


class JsonLines(logging.Formatter):
    """time (ISO 8601, UTC, milliseconds), level, logger, message; job, worker and traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        told = _told(record)
        time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        fields: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "job": told.job,
            "worker": told.worker,
            "logger": record.name,
            "message": told.message,
            "traceback": told.traceback,
        }
        return json.dumps({name: value for name, value in fields.items() if value or name == "message"})


class _Told:
    """What a record says, ready to be written. From a worker's record, its own words."""

    def __init__(self, record: logging.LogRecord) -> None:
        self.job = str(getattr(record, "job", "") or _about.get())
        self.worker = str(getattr(record, "worker", ""))
        self.message = _cut(_escaped(record.getMessage()))
        self.traceback: list[str] = [_cut(_escaped(line)) for line in _traceback(record)[-_TRACEBACK_LINES_MAX:]]


def _told(record: logging.LogRecord) -> _Told:
    """Made once, on the thread that logs: nobody else knows its job."""
    if not hasattr(record, "told"):
        record.told = _Told(record)
    told: _Told = record.told
    return told


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
    """Use as: `with ServerLogs("json", sys.stderr) as logs: ...; logs.keep_in(folder)`.

    format: text or json. stream: written to as well; None: nowhere but in the folder. Logging waits for no disk:
    records are queued, a thread writes them, and what could not be written is counted.
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
        threading.excepthook = _log_the_end_of_a_thread
        return self

    def keep_in(self, folder: Path) -> None:
        """Write from now on, what came before as well, to server.log in a folder of the server's own.

        Beside it lie FILES older ones of FILE_BYTES each, and crash.log, with the interpreter's words should it crash.
        """
        path = folder / "server.log"
        self._handlers.append(_LogFile(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"))
        self._crashes = open(folder / "crash.log", "a", encoding="utf-8")  # noqa: SIM115  kept
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
    """Waits for nobody; says how many lines found no room."""

    lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        _told(record)
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
    """Says how many lines are missing, once it can write again."""

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
        """What cannot be written to the terminal is in the file."""


def _missing(count: int) -> logging.LogRecord:
    words = f"{count} lines are missing here: they could not be written"
    return logging.LogRecord(__name__, logging.ERROR, "", 0, words, (), None)


def _log_the_end_of_a_thread(what: threading.ExceptHookArgs) -> None:
    name = what.thread.name if what.thread else "a thread"
    if what.exc_value and what.exc_type is not SystemExit:
        told = (what.exc_type, what.exc_value, what.exc_traceback)
        logging.getLogger(__name__).critical("thread %s has ended", name, exc_info=told)


# --- from a worker to its server ---------------------------------------------------------------------


class _WorkerLines(JsonLines):
    def format(self, record: logging.LogRecord) -> str:
        return _RECORD + super().format(record)


def handler_to_server(stream: IO[str]) -> logging.Handler:
    """Writes a worker's records so that its server tells them from whatever libraries print to the same stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_WorkerLines())
    return handler


def log_of_worker(name: str, line: str, jobs: Sequence[str], latest: Sequence[str] = ()) -> list[str]:
    """Log what a worker wrote: a record with its level and job, or words of a library.

    Args:
        name: of the worker.
        line: without its end.
        jobs: that it holds; for what does not say which it is about.
        latest: the job that it was given last: words of a library may be read after its end.

    Returns:
        The messages that were in it.
    """
    words, *records = line.split(_RECORD)
    told = [(_record(text), jobs) for text in records]
    if words.strip():
        told.insert(0, ({"message": words.rstrip()}, jobs or latest))
    for fields, about in told:
        _log_again(name, fields, ", ".join(about))
    return [str(fields["message"]) for fields, _ in told]


def _record(text: str) -> dict[str, Any]:
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
        about = of_job(str(fields.get("job", "")) or jobs, worker)
        record = logging.makeLogRecord(
            {
                "name": log.name,
                "levelno": level,
                "levelname": logging.getLevelName(level),
                "msg": str(fields["message"]),
                "traceback": list(fields.get("traceback", ())),
                **about,
            }
        )
        log.handle(record)
