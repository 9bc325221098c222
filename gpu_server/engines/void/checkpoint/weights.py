"""Checks of a part's weights: files, names, shapes and types against its configuration."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import PATCH_WEIGHT, TIED_EMBEDDING, common_prefix, weight_map
from gpu_server.engines.void.checkpoint.safetensors_header import TensorEntry, read_header
from gpu_server.engines.void.checkpoint.tensor_shapes import Shapes
from void_bridge.errors import InputError, UnreadableFile

_TRANSFORMER_TYPES = ("BF16", "F32")
_NEIGHBOUR_TYPES = ("BF16", "F16", "F32")
_NARROW_CHANNELS = 33
_PARTIAL = (".incomplete", ".part", ".crdownload", ".aria2", ".tmp", ".download")


@dataclass(frozen=True)
class PartWeights:
    """The headers of all files of a part.

    Attributes:
        tensors: the tensors by published name.
        size: bytes of the files.
        prefix: the prefix that another tool has put before the names.
    """

    tensors: dict[str, TensorEntry]
    size: int
    prefix: str

    @property
    def dtype(self) -> str:
        """The type of most tensors."""
        return Counter(tensor.dtype for tensor in self.tensors.values()).most_common(1)[0][0]


def read_weights(files: Sequence[Path], index: Path | None = None) -> PartWeights:
    """Read the headers of a part's files as one.

    Args:
        files: the files.
        index: the list of shards; used if it exists and there is more than one file.

    Raises:
        UnreadableFile: a file is missing, damaged or only half downloaded, or the index does not fit.
    """
    for path in files:
        if not path.is_file():
            raise UnreadableFile(_missing_file(path))
    headers = {path.name: read_header(path) for path in files}
    tensors: dict[str, TensorEntry] = {}
    for name, header in headers.items():
        twice = tensors.keys() & header.tensors.keys()
        if twice:
            raise UnreadableFile(
                f"{name} holds {min(twice)}, which another shard also holds; download the shards again"
            )
        tensors.update(header.tensors)
    if not tensors:
        raise UnreadableFile(f"{files[0].name} holds no tensor; download it again")
    if index is not None and index.exists() and len(files) > 1:
        for tensor, shard in weight_map(index).items():
            if tensor not in headers[shard].tensors:
                raise UnreadableFile(f"{shard} lacks {tensor}, which {index.name} places there; download both again")
    prefix = common_prefix(list(tensors))
    plain = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return PartWeights(plain, sum(header.size for header in headers.values()), prefix)


def check_transformer(weights: PartWeights, shapes: Shapes, file: str) -> bool:
    """Check a transformer's tensors and return whether it has 33 channels, which loading widens.

    Args:
        weights: the transformer's weights.
        shapes: the expected shapes, of 48 channels.
        file: the file's name, for messages.

    Raises:
        InputError: a name, shape or type differs.
    """
    patch = shapes[PATCH_WEIGHT]
    narrow = (patch[0], patch[1] // 48 * _NARROW_CHANNELS)
    is_narrow = PATCH_WEIGHT in weights.tensors and weights.tensors[PATCH_WEIGHT].shape == narrow != patch
    if is_narrow:
        shapes = {**shapes, PATCH_WEIGHT: narrow}
    check_tensors(weights, shapes, file, _TRANSFORMER_TYPES)
    return is_narrow


def check_text_encoder(weights: PartWeights, shapes: Shapes, file: str) -> None:
    """Check a text encoder's tensors. Its embedding may be there under two names.

    Args:
        weights: the text encoder's weights.
        shapes: the expected shapes.
        file: the file's name, for messages.

    Raises:
        InputError: a name, shape or type differs.
    """
    tensors = dict(weights.tensors)
    tied = tensors.pop(TIED_EMBEDDING, None)
    if tied and "shared.weight" not in tensors:
        tensors["shared.weight"] = tied
    check_tensors(PartWeights(tensors, weights.size, weights.prefix), shapes, file, _NEIGHBOUR_TYPES, wide="wo.weight")


def check_tensors(
    weights: PartWeights, shapes: Shapes, file: str, types: Sequence[str] = _NEIGHBOUR_TYPES, wide: str = ""
) -> None:
    """Check the names, shapes and types of a part's tensors.

    Args:
        weights: the weights.
        shapes: the expected shapes.
        file: the file's name, for messages.
        types: the types that a file may have, one for all its tensors.
        wide: the ending of names that may be F32 in a file of another type.

    Raises:
        InputError: a name, shape or type differs; the message names the first.
    """
    _check_names(weights, shapes, file)
    for name, shape in shapes.items():
        if weights.tensors[name].shape != shape:
            got = list(weights.tensors[name].shape)
            raise InputError(f"{file}: {name} has shape {got}, config.json asks for {list(shape)}; download both again")
    _check_types(weights, file, types, wide)


def _check_names(weights: PartWeights, shapes: Shapes, file: str) -> None:
    """Raise InputError if tensors are missing, or there are others."""
    missing, extra = shapes.keys() - weights.tensors.keys(), weights.tensors.keys() - shapes.keys()
    if not missing and not extra:
        return
    if 2 * len(missing) > len(shapes):
        raise InputError(
            f"{file} has other names than the published ones ({_first_of(extra or weights.tensors)}): it is another"
            " model, or repackaged for another tool; download the published file"
        )
    words = [f"lacks {_first_of(missing)}"] if missing else []
    words += [f"holds {_first_of(extra)}, which config.json does not ask for"] if extra else []
    raise InputError(f"{file} {' and '.join(words)}; download the published file again")


def _check_types(weights: PartWeights, file: str, types: Sequence[str], wide: str) -> None:
    """Raise InputError if a type is not allowed or not that of the other tensors."""
    usual = weights.dtype
    if usual not in types:
        raise InputError(
            f"{file} is stored as {usual}, expected {' or '.join(types)}: a quantised or converted copy;"
            " download the published file, and let the engine choose its precision"
        )
    odd = [
        name
        for name, tensor in weights.tensors.items()
        if tensor.dtype != usual and not (wide and name.endswith(wide) and tensor.dtype == "F32")
    ]
    if odd:
        kind = weights.tensors[min(odd)].dtype
        raise InputError(
            f"{file}: {_first_of(odd)} is {kind} where the rest is {usual}; download the published file again"
        )


def _first_of(names: Collection[str]) -> str:
    """Return the first of some names, and how many others there are."""
    first = min(names)
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"


def _missing_file(path: Path) -> str:
    """Return the message for a file that is not there."""
    partial = _partial_download(path)
    if partial:
        got = f"{partial.stat().st_size:,} bytes in {partial.name}"
        return f"{path.name} is only half downloaded ({got}); void-bridge models fetch, or download it again"
    shards = sorted(path.parent.glob(f"{path.stem}-*-of-*.safetensors"))
    if shards and path not in shards:
        return f"{path.name}.index.json is not there, which lists {shards[0].name} and the others"
    return f"{path.name} is not there"


def _partial_download(path: Path) -> Path | None:
    """Return the partial download that a tool has left for a file; the hub's own keeps it in .cache/huggingface."""
    hashed = base64.urlsafe_b64encode(hashlib.sha1(f"{path.name}.metadata".encode()).digest()).decode()
    kept = ".cache/huggingface/download"
    places = [
        (path.parent, f"{path.name}*"),
        *((path.parent / kept, f"{prefix}*") for prefix in (path.name, hashed)),
        *((path.parent.parent / kept / path.parent.name, f"{prefix}*") for prefix in (path.name, hashed)),
    ]
    found = (file for folder, pattern in places for file in sorted(folder.glob(pattern)) if file.is_file())
    return next((file for file in found if file.suffix in _PARTIAL), None)
