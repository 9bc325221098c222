"""Path mapping for sites with mixed platforms: what another machine calls a folder, and what it is here.

Each machine has its own table, `FROM=TO`: FROM as others say it, TO on this machine. A server reads
the paths of a job through its table, a client those of results.

    PathMap.parse([r"P:\\=/mnt/projects"]).here(r"p:\\show\\a.1001.exr")  ->  /mnt/projects/show/a.1001.exr
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, List, Optional, Tuple

from void_bridge.errors import ConfigError, InputError

_WINDOWS = re.compile(r"[A-Za-z]:|\\\\")


@dataclass(frozen=True)
class PathMap:
    """Pairs of (prefix elsewhere, prefix here). The longest matching prefix wins.

    Prefixes match whole folder names. Windows prefixes (a drive letter, or `\\\\server`) match in
    either case and with either separator; what comes out has the separators of the prefix here.
    """

    entries: Tuple[Tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> PathMap:
        """Raises ConfigError: an entry without `=`, or with an empty side."""
        return cls(tuple(_parse_entry(text) for text in texts))

    @classmethod
    def from_rules(cls, data: Any) -> PathMap:
        """The rules that a farm's worker hands to its tasks: Open Job Description's `pathmapping-1.0`, as plain data.

        Raises:
            InputError: they cannot be read.
        """
        rules = data.get("path_mapping_rules", []) if isinstance(data, dict) else None
        try:
            return cls(tuple((str(rule["source_path"]), str(rule["destination_path"])) for rule in rules))  # type: ignore[union-attr]
        except (KeyError, TypeError) as exc:
            raise InputError(f"cannot read path mapping rules {str(data)[:80]!r}; expected pathmapping-1.0") from exc

    def __add__(self, other: PathMap) -> PathMap:
        return PathMap((*self.entries, *other.entries))

    def covers(self, path: str) -> bool:
        """Whether an entry fits."""
        return any(_below(elsewhere, path) is not None for elsewhere, _ in self.entries)

    def to_local(self, path: str) -> str:
        """`path` as this machine names it; unchanged where no entry fits."""
        for elsewhere, here in sorted(self.entries, key=lambda entry: -len(entry[0])):
            rest = _below(elsewhere, path)
            if rest is not None:
                separator = "\\" if _WINDOWS.match(here) else "/"
                return separator.join([here.rstrip("\\/"), *rest]) if rest else here
        return path


def _parse_entry(text: str) -> Tuple[str, str]:
    elsewhere, _, here = text.partition("=")
    if not elsewhere.strip() or not here.strip():
        raise ConfigError(rf"path_map: got {text!r}, expected FROM=TO, for example P:\=/mnt/projects")
    return elsewhere.strip(), here.strip()


def _below(folder: str, path: str) -> Optional[List[str]]:
    """Names of `path` below `folder`, or None when it lies elsewhere."""
    wanted, found = _names(folder), _names(path)
    windows = bool(_WINDOWS.match(folder))
    if windows != bool(_WINDOWS.match(path)):
        return None
    head = found[: len(wanted)]
    same = [n.casefold() for n in head] == [n.casefold() for n in wanted] if windows else head == wanted
    return found[len(wanted) :] if same else None


def _names(path: str) -> List[str]:
    if _WINDOWS.match(path):
        unc = path[:2] in ("\\\\", "//")
        return (["\\\\"] if unc else []) + [name for name in re.split(r"[\\/]+", path) if name]
    return (["/"] if path.startswith("/") else []) + [name for name in path.split("/") if name]
