"""Key files as `keys new` makes them. They are read only if no other user can have read, added or changed them.

NAME.key           a public key, which others may have
NAME.key_secret    both keys of a pair, for its owner alone

Windows keeps a profile's folders private; owners and modes are not checked there.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import zmq

from void_bridge.connection import check_parent_folders
from void_bridge.errors import Refused
from void_bridge.real_paths import read_small_file

_AGAIN = "remove it and create it again with void-bridge keys new"
_LINE = re.compile(r"""^\s*(public|secret)-key\s*=\s*["']?([0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40})["']?\s*$""", re.M)


class KeyPair(NamedTuple):
    """A pair of keys as Z85 text."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair({self.public!r})"


def read_public(path: Path) -> str:
    """Return the public key of NAME.key, which others may read but not change.

    Raises:
        Refused: the file is missing, a link, another user's, open to changes, or not a public key alone.
    """
    found = _read_keys(path, forbidden=0o022)
    if "secret" in found:
        raise Refused(f"{path} holds a secret key, which must stay with its owner; put the .key file there instead")
    return found["public"]


def read_pair(path: Path) -> KeyPair:
    """Return both keys of NAME.key_secret, which no other user can read.

    Raises:
        Refused: the file is missing, a link, another user's, readable by others, or not a pair of keys.
    """
    found = _read_keys(path, forbidden=0o077)
    if "secret" not in found:
        raise Refused(f"{path} holds no secret key; {_AGAIN}")
    if zmq.curve_public(found["secret"].encode()).decode() != found["public"]:
        raise Refused(f"the keys in {path} are not a pair; {_AGAIN}")
    return KeyPair(found["public"], found["secret"])


def check_folder(folder: Path) -> None:
    """Raise Refused if others can put files into a folder of keys, or replace the folder."""
    if os.name == "nt":
        return
    try:
        real = folder.resolve(strict=True)
        facts = real.stat()
    except OSError as exc:
        raise Refused(
            f"cannot read the folder of keys {folder}: {exc.strerror}; create it with void-bridge keys new"
        ) from exc
    if not stat.S_ISDIR(facts.st_mode):
        raise Refused(f"{folder} is not a folder; create one with void-bridge keys new")
    if facts.st_uid not in (os.getuid(), 0):
        raise Refused(f"the folder of keys {folder} belongs to another user; use one of your own")
    if facts.st_mode & 0o022:
        raise Refused(f"others can put keys into {folder}; check its files, then run chmod go-w on it")
    check_parent_folders(folder)


def fingerprint(public: str) -> str:
    """Return the fingerprint of a public key: 80 bits as text that can be read aloud."""
    text = base64.b32encode(hashlib.blake2b(public.encode(), digest_size=10).digest()).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _read_keys(path: Path, forbidden: int) -> dict[str, str]:
    """Return the keys in a file by kind: public, secret. Raises Refused.

    Args:
        path: the file.
        forbidden: mode bits that must not be set.
    """
    try:
        content = read_small_file(path, lambda facts: _check_owned(facts, path, forbidden))
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise Refused(f"key {path} is a link, whose target others may change; copy the file instead") from exc
        raise Refused(f"cannot read key {path}: {exc.strerror}; create it with void-bridge keys new") from exc
    found = {match[1]: match[2] for match in _LINE.finditer(content.decode("utf-8", "replace"))}
    if "public" not in found:
        raise Refused(f"cannot read key {path}: no public key in it; {_AGAIN}")
    return found


def _check_owned(facts: os.stat_result, path: Path, forbidden: int) -> None:
    """Raise Refused if an open key file is another user's, or has a forbidden mode bit."""
    if not stat.S_ISREG(facts.st_mode):
        raise Refused(f"key {path} is not a file; {_AGAIN}")
    if os.name == "nt":
        return
    if facts.st_uid not in (os.getuid(), 0):
        raise Refused(f"key {path} belongs to another user; copy it, so that you own it")
    if facts.st_mode & forbidden & 0o044:
        raise Refused(f"others can read {path}; run chmod 600 on it, or replace the keys with void-bridge keys new")
    if facts.st_mode & forbidden:
        raise Refused(
            f"others can change {path}; compare its fingerprint (void-bridge keys list), then run chmod 600 on it"
        )
