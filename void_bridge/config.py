"""One frozen configuration: command line or knob > VOID_BRIDGE_* > user file > site file > default.

Nothing is read at import. `load` reads both files and the environment once:

    config = load({"connect": "tcp://gpu1:5570"}).config

Files are TOML with the names of `Config` as keys. A site file may also hold `locked = ["spool", ...]`:
those values win, and overriding one is an error that says so. Lists in variables are separated by `;`.
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
BUILTIN_CONFIG = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"  # of plates, where nothing names another
FILE_NAME = "config.toml"
_TYPO = 0.8  # variables this near to a key are taken for a misspelt key; others belong to other tools
_NOT_KEYS = {"CONFIG", "SITE_CONFIG", "DEBUG"}


def login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


@dataclass(frozen=True)
class Config:
    """Every setting. Folders are absolute paths; times are in seconds.

    connect: URL of the server to use; empty: the local one. bind: URL that `serve` listens on.
    runtime_dir: of connection files. keys: of the certificates that `keys new` makes. executable: the
    Python that starts a local server; empty: the recorded one (installation.py), else this one. threads:
    of a worker; 0: all cores. roots: folders that `path` transport may read. path_map: `FROM=TO` entries (pathmap.py).
    ocio: config of plates; empty: $OCIO, else the built-in one. spool_limit_gb: over it, ended jobs go whose
    results were fetched; 0 is none.
    idle_free_s, idle_exit_s: when a server that a client started gives its device memory back, and
    leaves. hang_s: after so long without progress a worker counts as hung.
    metrics_port: of 127.0.0.1, where a server shows Prometheus its counts; 0: nowhere.
    resolve_output, before_submit, after_result: site hooks as `module:function` (hooks.py).
    farm: render manager that takes jobs (docs/farm.md). farm_scratch: folder that its workers see, for plates and
    mattes of hosts; empty: beside the results. farm_roots: folders that its workers see; empty: not checked.
    farm_command: what its workers call void-bridge by. log_format: of a server's lines.
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
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


class LoadedConfig(NamedTuple):
    """A configuration; `sources` says for each value where it came from, `locked` which the site fixed."""

    config: Config
    sources: Dict[str, str]
    locked: FrozenSet[str] = frozenset()


class _Layer(NamedTuple):
    source: str
    values: Dict[str, Any]


def load(overrides: Optional[Mapping[str, Any]] = None) -> LoadedConfig:
    """Read everything that sets a value. `overrides`: from the command line or knobs; None counts as absent.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong value, an override of a locked value.
    """
    site, locked = _site_layer()
    user = _file_layer("user file", user_file())
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    layers = [site, user, *_environment_layers(), _Layer("command line", _typed(given, "command line"))]
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
    """Variables that give a child process the same configuration, whatever else is set there."""
    values = {spec.name: getattr(config, spec.name) for spec in dataclasses.fields(config)}
    return {
        PREFIX + name.upper(): ";".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }


def user_file() -> Path:
    return _path_variable("CONFIG") or config_dir() / FILE_NAME


def site_file() -> Path:
    return _path_variable("SITE_CONFIG") or site_config_dir() / FILE_NAME


def _path_variable(name: str) -> Optional[Path]:
    text = os.environ.get(PREFIX + name, "")
    return Path(text).expanduser() if text else None


def _site_layer() -> Tuple[_Layer, List[str]]:
    path = site_file()
    data = _read_toml(path)
    locked = data.pop("locked", [])
    where = f"site file {path}"
    if not isinstance(locked, list):
        raise ConfigError(f"{where}: locked: got {locked!r}, expected a list of keys")
    for name in locked:
        _check_known(str(name), f"{where}: locked")
    return _Layer(where, _typed(data, where)), [str(name) for name in locked]


def _file_layer(kind: str, path: Path) -> _Layer:
    where = f"{kind} {path}"
    return _Layer(where, _typed(_read_toml(path), where))


def _read_toml(path: Path) -> Dict[str, Any]:
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
    names = _hints()
    for variable in sorted(os.environ):
        name = variable[len(PREFIX) :]
        if not variable.startswith(PREFIX) or name in _NOT_KEYS:
            continue
        if name.lower() in names:
            value = _from_text(names[name.lower()], os.environ[variable])
            yield _Layer(variable, _typed({name.lower(): value}, variable))
        elif close := difflib.get_close_matches(name.lower(), names, n=1, cutoff=_TYPO):
            raise ConfigError(f"unknown variable {variable}; did you mean {PREFIX}{close[0].upper()}?")


def _from_text(hint: Any, text: str) -> Any:
    """A variable's text as the plain value that a file would hold; what cannot be read stays text."""
    if hint == Tuple[str, ...]:
        return [entry.strip() for entry in text.split(";") if entry.strip()]
    if hint is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        return words.get(text.lower(), text)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def _typed(data: Mapping[str, Any], where: str) -> Dict[str, Any]:
    """The values of one source, checked against the types of `Config`."""
    names = _hints()
    checked: Dict[str, Any] = {}
    for name, value in data.items():
        _check_known(name, where)
        try:
            plain = _folder(name, value) if names[name] is Path else value
            checked[name] = getattr(from_plain(Config, {name: plain}, error=ConfigError), name)
        except ConfigError as exc:
            raise ConfigError(f"{where}: {exc}") from exc
    return checked


def _folder(name: str, value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ConfigError(f"{name}: got {value!r}, expected a folder")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as exc:
        raise ConfigError(f"{name}: got {str(value)[:80]!r}, expected a folder: {exc}") from exc


def _hints() -> Dict[str, Any]:
    return get_type_hints(Config)


def _check_known(name: str, where: str) -> None:
    if name not in _hints():
        raise ConfigError(f"{where}: unknown key {name!r}{nearest(name, _hints())}")


def _check_lock(name: str, value: Any, site: _Layer, layer: _Layer) -> None:
    fixed = site.values.get(name, getattr(Config(), name))
    if value != fixed:
        raise ConfigError(
            f"{name} is locked to {str(fixed)!r} by the {site.source}; got {str(value)!r} from {layer.source}"
        )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"got {name} {value:g}, expected {low:g} to {high:g}")
