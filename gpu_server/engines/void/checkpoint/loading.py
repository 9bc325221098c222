"""Networks loaded from memory-mapped files: built without memory, then filled one tensor after the other.

A tensor that `place` returns unchanged is a view of the mapped file: it takes no memory of its own until it is used,
and the system may drop its pages again. One that `place` casts or moves to a device is copied once, by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from gpu_server.engines.void.checkpoint.layout import (
    PATCH_WEIGHT,
    TIED_EMBEDDING,
    VOID_CHANNELS,
    Layout,
    common_prefix,
    resolve,
)
from gpu_server.engines.void.checkpoint.safetensors_header import read_header
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS
from void_bridge.errors import UnreadableFile

PlaceTensor = Callable[[str, Tensor], Tensor]
"""A function that gets each tensor's name and the tensor, and returns the tensor that the network shall hold: of the
same shape, unchanged, cast or moved to a device."""
Module = TypeVar("Module", bound=torch.nn.Module)

_GROUP_BYTES = 256_000_000


def keep_mapped(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor as it is in the file."""
    return tensor


def empty_transformer(config: dict[str, Any], in_channels: int = VOID_CHANNELS) -> CogVideoXTransformer3DModel:
    """Return a transformer without memory, on the meta device.

    Args:
        config: the `config.json` of the base.
        in_channels: channels of its input, in place of those of the configuration.
    """
    return _empty(CogVideoXTransformer3DModel, {**config, "in_channels": in_channels})


def empty_vae(config: dict[str, Any]) -> AutoencoderKLCogVideoX:
    """Return a VAE without memory, on the meta device, from its `config.json`."""
    return _empty(AutoencoderKLCogVideoX, config)


def load_transformer(folder: Path, pass_number: int, place: PlaceTensor = keep_mapped) -> CogVideoXTransformer3DModel:
    """Load the transformer of pass 1 or 2, with an input of 48 channels.

    A checkpoint of 33 channels is widened; see `widen_patch_embedding`.

    Args:
        folder: the models folder.
        pass_number: 1 or 2.
        place: called once for each tensor, in the file's order; see `PlaceTensor`.

    Raises:
        UnreadableFile: a file is missing, damaged, or does not fit the base's `config.json`.
    """
    layout = resolve(folder)
    path = layout.pass_file(pass_number)
    model = empty_transformer(layout.config("transformer"))
    width = model.get_parameter(PATCH_WEIGHT).shape[1]

    def widen_and_place(name: str, tensor: Tensor) -> Tensor:
        if name == PATCH_WEIGHT and tensor.shape[1] < width:
            tensor = widen_patch_embedding(tensor, _base_patch_weight(layout), width)
        return place(name, tensor)

    return _fill(model, _tensors([path], widen_and_place), path)


def load_vae(folder: Path, place: PlaceTensor = keep_mapped) -> AutoencoderKLCogVideoX:
    """Load the VAE. Arguments and errors are those of `load_transformer`."""
    layout = resolve(folder)
    model = empty_vae(layout.config("vae"))
    return _fill(model, _tensors(layout.weight_files("vae"), place), layout.part("vae"))


def load_text_encoder(folder: Path, place: PlaceTensor = keep_mapped) -> T5EncoderModel:
    """Load the T5 encoder, with its embedding tied to the shared one. See `load_transformer`."""
    layout = resolve(folder)
    with torch.device("meta"):
        model = T5EncoderModel(T5Config(**layout.config("text_encoder")))
    state = dict(_tensors(layout.weight_files("text_encoder"), place))
    shared = state.get("shared.weight", state.get(TIED_EMBEDDING))
    if shared is not None:
        state.update({"shared.weight": shared, TIED_EMBEDDING: shared})
    model = _fill(model, state.items(), layout.part("text_encoder"))
    model.encoder.embed_tokens.weight = model.shared.weight
    return model


def load_tokenizer(folder: Path) -> T5Tokenizer:
    """Load the tokenizer of a models folder.

    Raises:
        UnreadableFile: a file is missing or damaged.
    """
    path = resolve(folder).part("tokenizer")
    try:
        return T5Tokenizer.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError, ImportError) as exc:
        raise UnreadableFile(f"cannot read the tokenizer in {path}: {exc}; run void-bridge models check") from exc


def load_scheduler(folder: Path) -> CogVideoXDDIMScheduler:
    """Load the scheduler of a models folder.

    Raises:
        UnreadableFile: its configuration is missing or damaged.
    """
    return CogVideoXDDIMScheduler(**_accepted(CogVideoXDDIMScheduler, resolve(folder).config("scheduler")))


def widen_patch_embedding(narrow: Tensor, base: Tensor, width: int) -> Tensor:
    """Return the patch embedding of a 33-channel checkpoint for 48 channels.

    A channel is 8 columns (2 latents in time, 2 x 2 in space), channels in the order noise, mask, video. Noise and
    video come from the checkpoint, the mask from the base; the base's single mask channel serves for each of the 16
    latents of the mask.

    Args:
        narrow: the checkpoint's weight, shape [D, 264], any float type.
        base: the base transformer's weight, shape [D, 264] or [D, width], any float type.
        width: columns of the result, 384.

    Returns:
        Shape [D, width], in the type of `narrow`.

    Source: the reference (Netflix/void-model), predict_v2v.py, keeps the first and last 128 columns of the checkpoint.
    """
    columns = width // VOID_CHANNELS * LATENT_CHANNELS
    middle = base[:, columns:-columns]
    repeats = (width - 2 * columns) // middle.shape[1]
    parts = [narrow[:, :columns], middle.repeat(1, repeats).to(narrow.dtype), narrow[:, -columns:]]
    return torch.cat(parts, dim=1)


def _base_patch_weight(layout: Layout) -> Tensor:
    """Return the patch embedding of the base, shape [D, 264] or [D, 384]."""
    for name, tensor in _tensors(layout.weight_files("transformer"), keep_mapped, only=PATCH_WEIGHT):
        if name == PATCH_WEIGHT:
            return tensor
    raise UnreadableFile(f"{layout.part('transformer')} has no {PATCH_WEIGHT}; run void-bridge models check")


def _empty(cls: type[Module], config: dict[str, Any]) -> Module:
    """Return a network on the meta device."""
    with torch.device("meta"):
        return cls(**_accepted(cls, config))


def _accepted(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a configuration that a class accepts; the others are notes for other programs."""
    taken = inspect.signature(cls.__init__).parameters
    return {key: value for key, value in config.items() if key in taken}


def _tensors(files: Iterable[Path], place: PlaceTensor, only: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of some files by name, each placed; `only` names one that is wanted alone."""
    for path in files:
        try:
            for stored, prefix in _groups(path):
                # Each group is mapped separately: its pages are unmapped when no tensor refers to it any more.
                with safe_open(path, framework="pt") as reader:
                    for key in stored:
                        name = key.removeprefix(prefix)
                        if not only or name == only:
                            yield name, place(name, reader.get_tensor(key))
        except (OSError, SafetensorError) as exc:
            raise UnreadableFile(f"cannot read {path}: {exc}; run void-bridge models check") from exc


def _groups(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the names of a file in its order, in groups of about `_GROUP_BYTES`, and the prefix that all have."""
    tensors = read_header(path).tensors
    prefix = common_prefix(list(tensors))
    group: list[str] = []
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        if group and tensor.end - tensors[group[0]].begin > _GROUP_BYTES:
            yield group, prefix
            group = []
        group.append(name)
    yield group, prefix


def _fill(model: Module, tensors: Iterable[tuple[str, Tensor]], source: Path) -> Module:
    """Put tensors in place of a network's empty ones and return it in evaluation mode, without gradients.

    Raise UnreadableFile if the names or shapes differ from the network's; `source` is where the tensors came from.
    """
    model.requires_grad_(False)
    try:
        model.load_state_dict(dict(tensors), strict=True, assign=True)
    except RuntimeError as exc:
        first = str(exc).strip().splitlines()[-1].strip()
        raise UnreadableFile(
            f"{source} does not fit its config.json: {first[:300]}; run void-bridge models check"
        ) from exc
    return model.eval()
