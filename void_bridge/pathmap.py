r"""Path mapping for sites with mixed platforms: from another machine's name of a folder to this machine's.

Each machine has its own table of `FROM=TO`: FROM is the folder on other machines, TO on this one. A server maps the
paths of a job by its table, a client those of results.

    PathMap.parse([r"P:\=/mnt/projects"]).to_local(r"p:\show\a.1001.exr")  ->  /mnt/projects/show/a.1001.exr
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, List, Optional, Tuple

from void_bridge.errors import ConfigError, InputError

_WINDOWS = re.compile(r"[A-Za-z]:|\\\\")


@dataclass(frozen=True)
class PathMap:
    r"""Pairs of a prefix on other machines and a prefix on this machine. The longest matching prefix wins.

    Prefixes match whole folder names. Windows prefixes (a drive letter, or `\\server`) match in either case and with
    either separator; the mapped path has the separators of this machine's prefix.
    """

    entries: Tuple[Tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> PathMap:
        """Return the map of `FROM=TO` entries. Raises ConfigError for an entry without `=` or with an empty side."""
        return cls(tuple(_parse_entry(text) for text in texts))

    @classmethod
    def from_rules(cls, data: Any) -> PathMap:
        """Return the map of a farm worker's rules, which are plain data of Open Job Description's `pathmapping-1.0`.

        Raises:
            InputError: the rules cannot be read.
        """
        rules = data.get("path_mapping_rules", []) if isinstance(data, dict) else None
        try:
            return cls(tuple((str(rule["source_path"]), str(rule["destination_path"])) for rule in rules))  # type: ignore[union-attr]
        except (KeyError, TypeError) as exc:
            raise InputError(f"cannot read path mapping rules {str(data)[:80]!r}; expected pathmapping-1.0") from exc

    def __add__(self, other: PathMap) -> PathMap:
        return PathMap((*self.entries, *other.entries))

    def covers(self, path: str) -> bool:
        """Return whether an entry matches a path."""
        return any(_relative(elsewhere, path) is not None for elsewhere, _ in self.entries)

    def to_local(self, path: str) -> str:
        """Return this machine's name of a path, which is unchanged if no entry matches."""
        for elsewhere, local in sorted(self.entries, key=lambda entry: -len(entry[0])):
            rest = _relative(elsewhere, path)
            if rest is not None:
                separator = "\\" if _WINDOWS.match(local) else "/"
                return separator.join([local.rstrip("\\/"), *rest]) if rest else local
        return path


def _parse_entry(text: str) -> Tuple[str, str]:
    """Return both sides of `FROM=TO`. Raises ConfigError."""
    elsewhere, _, local = text.partition("=")
    if not elsewhere.strip() or not local.strip():
        raise ConfigError(rf"path_map: got {text!r}, expected FROM=TO, for example P:\=/mnt/projects")
    return elsewhere.strip(), local.strip()


def _relative(folder: str, path: str) -> Optional[List[str]]:
    """Return the names of `path` below `folder`, or None if it is elsewhere."""
    prefix, names = _split(folder), _split(path)
    windows = bool(_WINDOWS.match(folder))
    if windows != bool(_WINDOWS.match(path)):
        return None
    head = names[: len(prefix)]
    same = [n.casefold() for n in head] == [n.casefold() for n in prefix] if windows else head == prefix
    return names[len(prefix) :] if same else None


def _split(path: str) -> List[str]:
    """Return the root and names of a path."""
    if _WINDOWS.match(path):
        unc = path[:2] in ("\\\\", "//")
        return (["\\\\"] if unc else []) + [name for name in re.split(r"[\\/]+", path) if name]
    return (["/"] if path.startswith("/") else []) + [name for name in path.split("/") if name]
