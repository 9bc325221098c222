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
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Literal, Mapping, NamedTuple, Optional, Tuple, get_type_hints

from void_bridge.errors import ConfigError
from void_bridge.paths import config_dir, data_dir, runtime_dir, site_config_dir, state_dir
from void_bridge.typed import from_plain, nearest

PREFIX = "VOID_BRIDGE_"
BUILTIN_CONFIG = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"  # of plates without another one
FILE_NAME = "config.toml"
_TYPO = 0.8  # a variable this similar to a key is a misspelt key; others belong to other tools
_NOT_KEYS = {"CONFIG", "SITE_CONFIG", "DEBUG"}
_BOOLEANS = {
    word: value for value, words in ((True, "1 true yes on"), (False, "0 false no off")) for word in words.split()
}


def login_name() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


@dataclass(frozen=True)
class Config:
    """Every setting. Folders are absolute paths; times are in seconds.

    Attributes:
        connect: URL of the server to use; empty means the local one.
        bind: URL that `serve` listens on.
        spool: folder of the server's inputs and results.
        runtime_dir: folder of connection files.
        keys: folder of the certificates that `keys new` makes.
        models: folder of model weights.
        executable: Python that starts a local server; empty means the recorded one (installation.py), else this one.
        workers: number of worker processes.
        threads: threads of a worker; 0 means one for each core.
        roots: folders that `path` transport may read.
        path_map: `FROM=TO` entries (pathmap.py).
        ocio: OCIO config of plates; empty means $OCIO, else the built-in one.
        user: name under which jobs are submitted.
        priority: priority of jobs, 0 to 100; the highest runs first.
        spool_limit_gb: size of the spool above which ended jobs with fetched results are removed; 0 means none.
        idle_free_s: idle time after which a server that a client started releases its device memory.
        idle_exit_s: idle time after which a server that a client started ends.
        hang_s: time without progress after which a worker counts as hung.
        metrics_port: port on 127.0.0.1 of the server's Prometheus metrics; 0 means none.
        transport: how the files of a job reach the server.
        autostart: whether a client may start a local server.
        log_format: format of a server's log lines.
        resolve_output: site hook as `module:function` (hooks.py).
        before_submit: site hook as `module:function` (hooks.py).
        after_result: site hook as `module:function` (hooks.py).
        farm: render manager that runs jobs (docs/wranglers/farm.md).
        farm_scratch: folder that farm workers see, for plates and mattes of hosts; empty means beside the results.
        farm_roots: folders that farm workers see; empty means that this is not checked.
        farm_command: command by which farm workers run void-bridge.
    """

    connect: str = ""
    bind: str = "tcp://127.0.0.1:*"
    spool: Path = field(default_factory=lambda: state_dir() / "spool")
    runtime_dir: Path = field(default_factory=runtime_dir)
    keys: Path = field(default_factory=lambda: config_dir() / "keys")
    models: Path = field(default_factory=lambda: data_dir() / "models")
    executable: str = ""
    workers: int = 1
    threads: int = 0
    roots: Tuple[str, ...] = ()
    path_map: Tuple[str, ...] = ()
    ocio: str = ""
    user: str = field(default_factory=login_name)
    priority: int = 50
    spool_limit_gb: float = 50.0
    idle_free_s: float = 120.0
    idle_exit_s: float = 1800.0
    hang_s: float = 600.0
    metrics_port: int = 0
    transport: Literal["auto", "inline", "path"] = "auto"
    autostart: bool = True
    log_format: Literal["text", "json"] = "text"
    resolve_output: str = ""
    before_submit: str = ""
    after_result: str = ""
    farm: str = ""
    farm_scratch: str = ""
    farm_roots: Tuple[str, ...] = ()
    farm_command: str = "void-bridge"

    def __post_init__(self) -> None:
        _check_range("workers", self.workers, 1, 64)
        _check_range("threads", self.threads, 0, 1024)
        _check_range("priority", self.priority, 0, 100)
        for name in ("spool_limit_gb", "idle_free_s", "idle_exit_s"):
            _check_range(name, getattr(self, name), 0, 1e9)
        _check_range("hang_s", self.hang_s, 1, 1e9)
        _check_range("metrics_port", self.metrics_port, 0, 65535)

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


def load(overrides: Optional[Mapping[str, Any]] = None) -> LoadedConfig:
    """Read the configuration from all sources.

    Args:
        overrides: values from the command line or knobs; None counts as absent.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong value, an override of a locked value.
    """
    site, locked = _site_layer()
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    user = _layer(f"user file {user_file()}", _read_toml(user_file()))
    layers = [site, user, *_environment_layers(), _layer("command line", given)]
    values: Dict[str, Any] = {}
    sources = {spec.name: "default" for spec in dataclasses.fields(Config)}
    for layer in layers:
        for name, value in layer.values.items():
            if name in locked and layer is not site:
                _check_lock(name, value, site, layer)
                continue
            values[name], sources[name] = value, layer.source
    return LoadedConfig(Config(**values), sources, frozenset(locked))


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
        if not variable.startswith(PREFIX) or name in _NOT_KEYS:
            continue
        if name.lower() in names:
            yield _layer(variable, {name.lower(): _from_text(names[name.lower()], os.environ[variable])})
        elif close := difflib.get_close_matches(name.lower(), names, n=1, cutoff=_TYPO):
            raise ConfigError(f"unknown variable {variable}; did you mean {PREFIX}{close[0].upper()}?")


def _from_text(hint: Any, text: str) -> Any:
    """Convert a variable's text to the value that a file would hold. Text that cannot be converted stays as it is."""
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


def _check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError if a value is out of its range."""
    if not low <= value <= high:
        raise ConfigError(f"got {name} {value:g}, expected {low:g} to {high:g}")
