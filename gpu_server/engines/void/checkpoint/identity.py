"""A name for the weights of a part: for frame headers, and for caches of what the weights made.

The name is a hash of the configuration, the header of each file (names, types, shapes, places) and the file's size; of
files up to 64 MiB the whole content, of larger ones 12 KiB of every tensor: its first, middle and last 4 KiB. Weights
that were trained, merged or quantised differently differ throughout their tensors, so that these samples see it. A
change of single values between the samples goes unseen: this tells checkpoints apart and does not prove integrity.
The name is of the content alone: the same on every machine, whatever the folder and the time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import PATCH_WEIGHT, VOID_CHANNELS, WEIGHT_STEMS, Layout, resolve
from gpu_server.engines.void.checkpoint.safetensors_header import Header, read_header
from void_bridge.errors import InputError

_SAMPLE_BYTES = 4096
_WHOLE_BYTES = 64 << 20


def weights_hash(folder: Path, part: str) -> str:
    """32 hexadecimal digits for what a part's files hold.

    Args:
        part: `pass 1`, `pass 2`, `transformer` (of the base), `vae`, `text_encoder`, `tokenizer` or `scheduler`.

    Raises:
        UnreadableFile: a file that is missing or damaged.
        InputError: no such part.
    """
    layout = resolve(folder)
    digest = hashlib.blake2b(digest_size=16)
    for piece in _pieces(layout, part):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(layout: Layout, part: str) -> Iterator[bytes]:
    if part in ("pass 1", "pass 2"):
        yield _config(layout, "transformer")
        path = layout.pass_file(int(part[-1]))
        yield _file_digest(path)
        if _is_narrow(path):
            yield from (_file_digest(file) for file in layout.weight_files("transformer"))
    elif part in WEIGHT_STEMS:
        yield _config(layout, part)
        yield from (_file_digest(file) for file in layout.weight_files(part))
    elif part == "scheduler":
        yield _config(layout, part)
    elif part == "tokenizer":
        yield from (_file_digest(file) for file in sorted(layout.part(part).glob("*")) if file.is_file())
    else:
        raise InputError(f"got part {part!r}, expected pass 1, pass 2, {', '.join(WEIGHT_STEMS)}, tokenizer, scheduler")


def _config(layout: Layout, part: str) -> bytes:
    return json.dumps(layout.config(part), sort_keys=True).encode()


def _is_narrow(path: Path) -> bool:
    """Whether a pass has 33 channels, so that the base has a part in it."""
    found = [tensor for name, tensor in read_header(path).tensors.items() if name.endswith(PATCH_WEIGHT)]
    return bool(found) and found[0].shape[-1] % VOID_CHANNELS != 0


def _file_digest(path: Path) -> bytes:
    found = path.stat()
    return _sampled(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _sampled(path: Path, size: int, mtime_ns: int) -> bytes:
    """The digest of a file as it was at that time."""
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as handle:
        if size <= _WHOLE_BYTES:
            digest.update(handle.read())
        else:
            header = read_header(path)
            digest.update(handle.read(header.data_begin))
            for begin in _sample_places(header):
                handle.seek(begin)
                digest.update(handle.read(_SAMPLE_BYTES))
    return digest.digest()


def _sample_places(header: Header) -> list[int]:
    places = set()
    for tensor in header.tensors.values():
        last = max(tensor.begin, tensor.end - _SAMPLE_BYTES)
        places |= {tensor.begin, (tensor.begin + last) // 2, last}
    return sorted(places)
