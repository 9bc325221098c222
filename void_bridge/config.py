"""One frozen configuration: command line or knob > VOID_BRIDGE_* > user file > site file > default.

Nothing is read at import. `load` reads both files and the environment once:

    config = load({"connect": "tcp://gpu1:5570"}).config

Files are TOML with the attributes of `Config` as keys. A site file may also hold `locked = ["spool", ...]`: those
values win, and overriding one is an error. Lists in variables are separated by `;`.
"""

from __future__ import annotations

import dataclasses
import difflib
import getpass
import math
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Literal, Mapping, NamedTuple, Optional, Tuple, get_type_hints

from void_bridge.errors import ConfigError
from void_bridge.options import PRIORITY, PRIORITY_MAX, TransportChoice
from void_bridge.paths import config_dir, data_dir, runtime_dir, site_config_dir, state_dir
from void_bridge.typed import from_plain, nearest

PREFIX = "VOID_BRIDGE_"
BUILTIN_CONFIG = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"  # of plates without another one
FILE_NAME = "config.toml"
_TYPO = 0.8  # a variable this similar to a key is a misspelt key; others belong to other tools
OTHER_VARIABLES = {
    "CONFIG": "Path of the user file.",
    "SITE_CONFIG": "Path of the site file.",
    "DEBUG": "`1`: print the traceback of an error.",
}
_BOOLEANS = {
    word: value for value, words in ((True, "1 true yes on"), (False, "0 false no off")) for word in words.split()
}


def login_name() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def _setting(default: Any, help: str, group: str, limits: Tuple[float, float] = (-math.inf, math.inf)) -> Any:
    """Return a field of `Config`.

    Args:
        default: the value if no source gives one, or a function that returns it.
        help: one line for the documentation.
        group: the heading of the documentation that the setting stands under.
        limits: the least and the largest number.
    """
    kind = "default_factory" if callable(default) else "default"
    return field(metadata={"help": help, "group": group, "limits": limits}, **{kind: default})


_ANY = (0, 1e9)


@dataclass(frozen=True)
class Config:
    """Every setting, each with its help, which docs/reference/configuration.md shows.

    Folders are absolute paths; times are in seconds.
    """

    connect: str = _setting("", "URL of the server to use. Empty: the local server.", "Client")
    bind: str = _setting("tcp://127.0.0.1:*", "URL that the server listens on.", "Server")
    spool: Path = _setting(lambda: state_dir() / "spool", "Folder of the server's inputs and results.", "Server")
    runtime_dir: Path = _setting(
        runtime_dir, "Folder of connection files, by which clients find the local server.", "Client"
    )
    keys: Path = _setting(
        lambda: config_dir() / "keys", "Folder of the keys that `void-bridge keys new` makes.", "Client"
    )
    models: Path = _setting(lambda: data_dir() / "models", "Folder of model weights.", "Server")
    executable: str = _setting(
        "", "Python that starts the local server. Empty: the Python that void-bridge was installed with.", "Client"
    )
    workers: int = _setting(1, "Number of worker processes.", "Server", (1, 64))
    threads: int = _setting(0, "Threads of each worker. 0: one for each core.", "Server", (0, 1024))
    roots: Tuple[str, ...] = _setting(
        (),
        "Folders whose files the server may read by path. Empty: all on a local server, none on a shared one.",
        "Server",
    )
    path_map: Tuple[str, ...] = _setting(
        (), "`FROM=TO` pairs: the name of a folder on other machines, and on this machine.", "Client"
    )
    ocio: str = _setting("", "OCIO config of plates. Empty: `$OCIO`, else the built-in config.", "Jobs")
    user: str = _setting(login_name, "Name under which jobs are submitted.", "Jobs")
    priority: int = _setting(PRIORITY, "Priority of jobs. The highest runs first.", "Jobs", (0, PRIORITY_MAX))
    spool_limit_gb: float = _setting(
        50.0,
        "Size of the spool in GB. Above it, the server removes ended jobs whose results were fetched. 0: no limit.",
        "Server",
        _ANY,
    )
    idle_free_s: float = _setting(
        120.0, "Idle seconds after which a server that a client started releases its GPU memory.", "Server", _ANY
    )
    idle_exit_s: float = _setting(
        1800.0, "Idle seconds after which a server that a client started ends.", "Server", _ANY
    )
    hang_s: float = _setting(600.0, "Seconds without progress after which a worker is replaced.", "Server", (1, 1e9))
    metrics_port: int = _setting(
        0, "Port on 127.0.0.1 of the server's Prometheus metrics. 0: none.", "Server", (0, 65535)
    )
    transport: TransportChoice = _setting(
        "auto", "How frames reach the server: `inline` sends the files, `path` their names; `auto` chooses.", "Jobs"
    )
    autostart: bool = _setting(True, "Start a local server if none runs.", "Client")
    log_format: Literal["text", "json"] = _setting("text", "Format of the server's log lines.", "Server")
    resolve_output: str = _setting("", "Hook that names the output of a job.", "Hooks")
    before_submit: str = _setting("", "Hook that changes or refuses a job before it is submitted.", "Hooks")
    after_result: str = _setting("", "Hook that is called when all frames of a job are on disk.", "Hooks")
    farm: str = _setting("", "Farm that `void-bridge farm submit` sends jobs to.", "Farm")
    farm_scratch: str = _setting(
        "",
        "Folder that farm workers see, for plates and mattes that hosts export. Empty: next to the results.",
        "Farm",
    )
    farm_roots: Tuple[str, ...] = _setting(
        (), "Folders that farm workers see. A job that uses another folder is refused. Empty: no check.", "Farm"
    )
    farm_command: str = _setting("void-bridge", "Command by which farm workers run void-bridge.", "Farm")

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value, (low, high) = getattr(self, spec.name), spec.metadata["limits"]
            if isinstance(value, (int, float)) and not low <= value <= high:
                raise ConfigError(f"got {spec.name} {value:g}, expected {low:g} to {high:g}")

    def replace(self, **changes: object) -> Config:
        """Return a copy with other values."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


class LoadedConfig(NamedTuple):
    """A configuration and the origin of its values.

    Attributes:
        sources: the source of each value, by key.
        locked: keys that the site file locks.
    """

    config: Config
    sources: Dict[str, str]
    locked: FrozenSet[str] = frozenset()


class _Layer(NamedTuple):
    """The values that one source sets."""

    source: str
    values: Dict[str, Any]


def load(overrides: Optional[Mapping[str, Any]] = None, source: str = "command line") -> LoadedConfig:
    """Read the configuration from all sources.

    Args:
        overrides: values from the command line, knobs or arguments; None counts as absent.
        source: the name of their source, for messages.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong value, an override of a locked value.
    """
    site, locked = _site_layer()
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    user = _layer(f"user file {user_file()}", _read_toml(user_file()))
    layers = [site, user, *_environment_layers(), _layer(source, given)]
    values: Dict[str, Any] = {}
    sources = {spec.name: "default" for spec in dataclasses.fields(Config)}
    for layer in layers:
        for name, value in layer.values.items():
            if name in locked and layer is not site:
                _check_lock(name, value, site, layer)
                continue
            values[name], sources[name] = value, layer.source
    return LoadedConfig(Config(**values), sources, frozenset(locked))


def convert_settings(values: Mapping[str, Any], source: str) -> Dict[str, Any]:
    """Return settings in the types of `Config`. Raises ConfigError, which names the source."""
    return _layer(source, values).values


def setting_from_text(name: str, text: str) -> Any:
    """Convert a variable's text to the value that a file would hold. Text that cannot be converted stays as it is."""
    hint = _hints()[name]
    if hint == Tuple[str, ...]:
        return [entry.strip() for entry in text.split(";") if entry.strip()]
    if hint is bool:
        return _BOOLEANS.get(text.lower(), text)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def as_environment(config: Config) -> Dict[str, str]:
    """Return the environment variables that give a child process this configuration."""
    values = {spec.name: getattr(config, spec.name) for spec in dataclasses.fields(config)}
    return {
        PREFIX + name.upper(): ";".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }


def user_file() -> Path:
    """Return the path of this user's file."""
    return _path_variable("CONFIG") or config_dir() / FILE_NAME


def site_file() -> Path:
    """Return the path of the site's file."""
    return _path_variable("SITE_CONFIG") or site_config_dir() / FILE_NAME


def _path_variable(name: str) -> Optional[Path]:
    """Return the path in an environment variable, or None if it is not set."""
    text = os.environ.get(PREFIX + name, "")
    return Path(text).expanduser() if text else None


def _site_layer() -> Tuple[_Layer, List[str]]:
    """Return the values of the site file and the keys that it locks."""
    source = f"site file {site_file()}"
    data = _read_toml(site_file())
    locked = data.pop("locked", [])
    if not isinstance(locked, list):
        raise ConfigError(f"{source}: locked: got {locked!r}, expected a list of keys")
    for name in locked:
        _check_known(str(name), f"{source}: locked")
    return _layer(source, data), [str(name) for name in locked]


def _read_toml(path: Path) -> Dict[str, Any]:
    """Return the content of a TOML file, which is empty without one. Raises ConfigError if it cannot be read."""
    if sys.version_info >= (3, 11):
        import tomllib  # novm
    else:
        import tomli as tomllib
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}; make it readable or move it away") from exc
    try:
        data: Dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"cannot read {path} as TOML: {exc}") from exc
    return data


def _environment_layers() -> Iterator[_Layer]:
    """Yield a layer for each variable that sets a value. Raises ConfigError for a misspelt one."""
    names = _hints()
    for variable in sorted(os.environ):
        name = variable[len(PREFIX) :]
        if not variable.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name.lower() in names:
            yield _layer(variable, {name.lower(): setting_from_text(name.lower(), os.environ[variable])})
        elif close := difflib.get_close_matches(name.lower(), names, n=1, cutoff=_TYPO):
            raise ConfigError(f"unknown variable {variable}; did you mean {PREFIX}{close[0].upper()}?")


def _layer(source: str, data: Mapping[str, Any]) -> _Layer:
    """Return the values of one source, converted to the types of `Config`. Raises ConfigError."""
    names = _hints()
    values: Dict[str, Any] = {}
    for name, value in data.items():
        _check_known(name, source)
        try:
            plain = _folder(name, value) if names[name] is Path else value
            values[name] = getattr(from_plain(Config, {name: plain}, error=ConfigError), name)
        except ConfigError as exc:
            raise ConfigError(f"{source}: {exc}") from exc
    return _Layer(source, values)


def _folder(name: str, value: Any) -> Path:
    """Return a value as an absolute path. Raises ConfigError."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ConfigError(f"{name}: got {value!r}, expected a folder")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as exc:
        raise ConfigError(f"{name}: got {str(value)[:80]!r}, expected a folder: {exc}") from exc


def _hints() -> Dict[str, Any]:
    """Return the type of each setting."""
    return get_type_hints(Config)


def _check_known(name: str, source: str) -> None:
    """Raise ConfigError if there is no setting of this name."""
    if name not in _hints():
        raise ConfigError(f"{source}: unknown key {name!r}{nearest(name, _hints())}")


def _check_lock(name: str, value: Any, site: _Layer, layer: _Layer) -> None:
    """Raise ConfigError if a layer changes a value that the site file locks."""
    fixed = site.values.get(name, getattr(Config(), name))
    if value != fixed:
        raise ConfigError(
            f"{name} is locked to {str(fixed)!r} by the {site.source}; got {str(value)!r} from {layer.source}"
        )
