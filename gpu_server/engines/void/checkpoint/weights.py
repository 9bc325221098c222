"""Whether the weights of a part are whole: files, names, shapes and types against what its configuration asks for."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_server.engines.void.checkpoint.layout import PATCH_WEIGHT, TIED_EMBEDDING, common_prefix, weight_map
from gpu_server.engines.void.checkpoint.safetensors_header import Tensor, read_header
from gpu_server.engines.void.checkpoint.tensor_shapes import Shapes
from void_bridge.errors import InputError, UnreadableFile

_TRANSFORMER_TYPES = ("BF16", "F32")
_NEIGHBOUR_TYPES = ("BF16", "F16", "F32")
_NARROW_CHANNELS = 33
_PARTIAL = (".incomplete", ".part", ".crdownload", ".aria2", ".tmp", ".download")


@dataclass(frozen=True)
class Weights:
    """What a part's files hold: tensors by published name; prefix: what another tool had put before the names."""

    tensors: dict[str, Tensor]
    size: int
    prefix: str

    @property
    def dtype(self) -> str:
        """The type of most tensors."""
        return Counter(tensor.dtype for tensor in self.tensors.values()).most_common(1)[0][0]


def read_weights(files: Sequence[Path], index: Path | None = None) -> Weights:
    """The headers of a part's files, as one.

    Args:
        index: lists the shards; used where it exists and there is more than one file.

    Raises:
        UnreadableFile: a file that is missing, damaged or only half there, or an index that does not fit.
    """
    for path in files:
        if not path.is_file():
            raise UnreadableFile(_absent(path))
    headers = {path.name: read_header(path) for path in files}
    tensors: dict[str, Tensor] = {}
    for name, header in headers.items():
        twice = tensors.keys() & header.tensors.keys()
        if twice:
            raise UnreadableFile(f"{name} holds {min(twice)}, which another shard holds, too; get the shards again")
        tensors.update(header.tensors)
    if not tensors:
        raise UnreadableFile(f"{files[0].name} holds no tensor; get it again")
    if index is not None and index.exists() and len(files) > 1:
        for tensor, shard in weight_map(index).items():
            if tensor not in headers[shard].tensors:
                raise UnreadableFile(f"{shard} lacks {tensor}, which {index.name} places there; get both again")
    prefix = common_prefix(list(tensors))
    plain = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return Weights(plain, sum(header.size for header in headers.values()), prefix)


def check_transformer(weights: Weights, shapes: Shapes, file: str) -> bool:
    """Whether the transformer's tensors are those of `shapes`; True where it has 33 channels and is to be widened.

    Raises:
        InputError: other names, shapes or types, with what is wrong.
    """
    patch = shapes[PATCH_WEIGHT]
    narrow = (patch[0], patch[1] // 48 * _NARROW_CHANNELS)
    is_narrow = PATCH_WEIGHT in weights.tensors and weights.tensors[PATCH_WEIGHT].shape == narrow != patch
    if is_narrow:
        shapes = {**shapes, PATCH_WEIGHT: narrow}
    check_tensors(weights, shapes, file, _TRANSFORMER_TYPES)
    return is_narrow


def check_text_encoder(weights: Weights, shapes: Shapes, file: str) -> None:
    """Whether the text encoder's tensors are those of `shapes`; its embedding may be there twice. Raises InputError."""
    tensors = dict(weights.tensors)
    tied = tensors.pop(TIED_EMBEDDING, None)
    if tied and "shared.weight" not in tensors:
        tensors["shared.weight"] = tied
    check_tensors(Weights(tensors, weights.size, weights.prefix), shapes, file, _NEIGHBOUR_TYPES, wide="wo.weight")


def check_tensors(
    weights: Weights, shapes: Shapes, file: str, types: Sequence[str] = _NEIGHBOUR_TYPES, wide: str = ""
) -> None:
    """Names, shapes, types.

    Args:
        types: those that a file may have, one for all its tensors.
        wide: the end of the names that may be F32 in a file of another type.

    Raises:
        InputError: what differs first.
    """
    _check_names(weights, shapes, file)
    for name, shape in shapes.items():
        if weights.tensors[name].shape != shape:
            got = list(weights.tensors[name].shape)
            raise InputError(f"{file}: {name} has shape {got}, config.json asks for {list(shape)}; get both again")
    _check_types(weights, file, types, wide)


def _check_names(weights: Weights, shapes: Shapes, file: str) -> None:
    missing, extra = shapes.keys() - weights.tensors.keys(), weights.tensors.keys() - shapes.keys()
    if not missing and not extra:
        return
    if 2 * len(missing) > len(shapes):
        raise InputError(
            f"{file} has other names than the published ones ({_some(extra or weights.tensors)}): it is another model,"
            " or repackaged for another tool; get the published file"
        )
    words = [f"lacks {_some(missing)}"] if missing else []
    words += [f"holds {_some(extra)}, which config.json does not ask for"] if extra else []
    raise InputError(f"{file} {' and '.join(words)}; get the published file again")


def _check_types(weights: Weights, file: str, types: Sequence[str], wide: str) -> None:
    usual = weights.dtype
    if usual not in types:
        raise InputError(
            f"{file} is stored as {usual}, expected {' or '.join(types)}: a quantised or converted copy;"
            " get the published file, and let the engine choose its precision"
        )
    odd = [
        name
        for name, tensor in weights.tensors.items()
        if tensor.dtype != usual and not (wide and name.endswith(wide) and tensor.dtype == "F32")
    ]
    if odd:
        kind = weights.tensors[min(odd)].dtype
        raise InputError(f"{file}: {_some(odd)} is {kind} where the rest is {usual}; get the published file again")


def _some(names: Sequence[str] | set[str] | dict[str, Tensor]) -> str:
    first = min(names)
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"


def _absent(path: Path) -> str:
    partial = _partial_download(path)
    if partial:
        got = f"{partial.stat().st_size:,} bytes in {partial.name}"
        return f"{path.name} is only half downloaded ({got}); void-bridge models fetch, or download it again"
    shards = sorted(path.parent.glob(f"{path.stem}-*-of-*.safetensors"))
    if shards and path not in shards:
        return f"{path.name}.index.json is not there, which lists {shards[0].name} and the others"
    return f"{path.name} is not there"


def _partial_download(path: Path) -> Path | None:
    """What a download tool leaves beside a file until it is whole; the hub's own keeps it in .cache/huggingface."""
    hashed = base64.urlsafe_b64encode(hashlib.sha1(f"{path.name}.metadata".encode()).digest()).decode()
    kept = ".cache/huggingface/download"
    places = [
        (path.parent, f"{path.name}*"),
        *((path.parent / kept, f"{prefix}*") for prefix in (path.name, hashed)),
        *((path.parent.parent / kept / path.parent.name, f"{prefix}*") for prefix in (path.name, hashed)),
    ]
    found = (file for folder, pattern in places for file in sorted(folder.glob(pattern)) if file.is_file())
    return next((file for file in found if file.suffix in _PARTIAL), None)
