"""A hash that names the weights of a part: for frame headers, and as a key of caches of their results.

The hash covers the configuration, the header of each file (names, types, shapes, offsets) and the file's size; of
files up to 64 MiB the whole content, of larger ones 12 KiB of every tensor: its first, middle and last 4 KiB. Weights
that were trained, merged or quantised differently differ throughout their tensors, so that these samples see it. A
change of single values between the samples goes unseen: the hash tells checkpoints apart and does not prove integrity.
It depends on the content alone, not on folder, machine or time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import PATCH_WEIGHT, VOID_CHANNELS, WEIGHT_STEMS, Layout, resolve
from gpu_server.engines.void.checkpoint.safetensors_header import SafetensorsHeader, read_header
from void_bridge.errors import InputError

_SAMPLE_BYTES = 4096
_WHOLE_BYTES = 64 << 20


def weights_hash(folder: Path, part: str) -> str:
    """Return the hash of a part's files, 32 hexadecimal digits.

    Args:
        folder: the models folder.
        part: `pass 1`, `pass 2`, `transformer` (of the base), `vae`, `text_encoder`, `tokenizer` or `scheduler`.

    Raises:
        UnreadableFile: a file is missing or damaged.
        InputError: no such part.
    """
    layout = resolve(folder)
    digest = hashlib.blake2b(digest_size=16)
    for digest_input in _digest_inputs(layout, part):
        digest.update(digest_input)
    return digest.hexdigest()


def _digest_inputs(layout: Layout, part: str) -> Iterator[bytes]:
    """Yield all that the hash of a part is made of."""
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
    """Return the configuration of a part in one spelling."""
    return json.dumps(layout.config(part), sort_keys=True).encode()


def _is_narrow(path: Path) -> bool:
    """Return whether a pass has 33 channels, so that weights of the base become part of it."""
    found = [tensor for name, tensor in read_header(path).tensors.items() if name.endswith(PATCH_WEIGHT)]
    return bool(found) and found[0].shape[-1] % VOID_CHANNELS != 0


def _file_digest(path: Path) -> bytes:
    """Return the digest of a file, which is computed once for each state of the file."""
    found = path.stat()
    return _sampled(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _sampled(path: Path, size: int, mtime_ns: int) -> bytes:
    """Return the digest of a file. Size and time of change are the key under which it is remembered."""
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as handle:
        if size <= _WHOLE_BYTES:
            digest.update(handle.read())
        else:
            header = read_header(path)
            digest.update(handle.read(header.data_begin))
            for begin in _sample_offsets(header):
                handle.seek(begin)
                digest.update(handle.read(_SAMPLE_BYTES))
    return digest.digest()


def _sample_offsets(header: SafetensorsHeader) -> list[int]:
    """Return where the samples of a file begin."""
    offsets = set()
    for tensor in header.tensors.values():
        last = max(tensor.begin, tensor.end - _SAMPLE_BYTES)
        offsets |= {tensor.begin, (tensor.begin + last) // 2, last}
    return sorted(offsets)
