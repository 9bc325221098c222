"""The files of a checkpoint: where they are in a models folder, where they are published and under which licence.

A models folder holds the base directory of CogVideoX-Fun (`transformer/ vae/ text_encoder/ tokenizer/ scheduler/`) and
the two VOID transformers beside it. The base may be a sub-folder of its published name, as a download makes it, or its
parts may be directly in the models folder.

Source of repositories, file lists and licences: the model cards of netflix/void-model and
alibaba-pai/CogVideoX-Fun-V1.5-5b-InP on the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from void_bridge.errors import UnreadableFile

BASE_NAME = "CogVideoX-Fun-V1.5-5b-InP"
BASE_REPOSITORY = f"alibaba-pai/{BASE_NAME}"
PASSES_REPOSITORY = "netflix/void-model"
BASE_PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"transformer": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
VOID_CHANNELS = 48
"""Noise, mask latents and video latents, 16 channels each. The base has 33: its mask is one plain channel."""
PATCH_WEIGHT = "patch_embed.proj.weight"
TIED_EMBEDDING = "encoder.embed_tokens.weight"
"""A second name of the text encoder's `shared.weight`; a file may hold either or both."""

_CONFIG_LIMIT = 1 << 20
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "module.", "model.")
_BASE_LICENCE = "CogVideoX License (the hub says: other); commercial use has conditions, see LICENSE in the repository"
_VOID_LICENCE = "Apache-2.0 (weights and code); fine-tuned from the base, so see the licence of the transformer, too"
_T5_LICENCE = "Apache-2.0 (T5 v1.1 XXL by Google)"


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one part on the hub.

    Attributes:
        repository: the hub's name of the repository.
        files: the files that the part needs, wildcards allowed.
        gigabytes: their published size, about.
        licence: the licence, in words for people.
    """

    repository: str
    files: tuple[str, ...]
    gigabytes: float
    licence: str


PUBLISHED = {
    "transformer": PublishedFiles(BASE_REPOSITORY, ("transformer/config.json",), 0.0, _BASE_LICENCE),
    "base weights": PublishedFiles(
        BASE_REPOSITORY, ("transformer/diffusion_pytorch_model*.safetensors*",), 11.14, _BASE_LICENCE
    ),
    "vae": PublishedFiles(BASE_REPOSITORY, ("vae/config.json", "vae/*.safetensors*"), 0.43, _BASE_LICENCE),
    "text_encoder": PublishedFiles(
        BASE_REPOSITORY, ("text_encoder/config.json", "text_encoder/*.safetensors*"), 9.52, _T5_LICENCE
    ),
    "tokenizer": PublishedFiles(BASE_REPOSITORY, ("tokenizer/*",), 0.001, _T5_LICENCE),
    "scheduler": PublishedFiles(BASE_REPOSITORY, ("scheduler/*",), 0.0, _BASE_LICENCE),
    "pass 1": PublishedFiles(PASSES_REPOSITORY, ("void_pass1.safetensors",), 11.14, _VOID_LICENCE),
    "pass 2": PublishedFiles(PASSES_REPOSITORY, ("void_pass2.safetensors",), 11.14, _VOID_LICENCE),
}
"""By part. `base weights` are needed only where a pass has 33 channels: the published ones bring every tensor."""


@dataclass(frozen=True)
class Layout:
    """The paths of a models folder. None of them needs to exist.

    Attributes:
        folder: the models folder.
        base: the folder that holds `transformer/` and its neighbours.
    """

    folder: Path
    base: Path

    def part(self, name: str) -> Path:
        """Return the folder of a part of the base."""
        return self.base / name

    def config_file(self, part: str) -> Path:
        """Return the path of a part's configuration."""
        return self.part(part) / ("scheduler_config.json" if part == "scheduler" else "config.json")

    def config(self, part: str) -> dict[str, Any]:
        """Return the configuration of a part.

        Raises:
            UnreadableFile: the file is missing or holds no JSON object.
        """
        return read_json(self.config_file(part))

    def index_file(self, part: str) -> Path:
        """Return the path of the index that lists a part's shards."""
        return self.part(part) / f"{WEIGHT_STEMS[part]}.safetensors.index.json"

    def weight_files(self, part: str) -> tuple[Path, ...]:
        """Return the files of a part's weights: one, or the shards that its index names.

        Raises:
            UnreadableFile: the index cannot be read.
        """
        single = self.part(part) / f"{WEIGHT_STEMS[part]}.safetensors"
        index = self.index_file(part)
        if single.exists() or not index.exists():
            return (single,)
        return tuple(self.part(part) / name for name in sorted(set(weight_map(index).values())))

    def pass_file(self, number: int) -> Path:
        """Return the path of `void_pass1.safetensors` or `void_pass2.safetensors`, beside the base or in it."""
        name = pass_name(number)
        inside = self.base / name
        return inside if inside.exists() and not (self.folder / name).exists() else self.folder / name


def resolve(folder: Path) -> Layout:
    """Return the layout of a models folder. The base of an empty folder belongs into its sub-folder."""
    nested = folder / BASE_NAME
    is_flat = not nested.is_dir() and any((folder / part).is_dir() for part in BASE_PARTS)
    return Layout(folder, folder if is_flat else nested)


def pass_name(number: int) -> str:
    """Return the file name of the transformer of pass 1 or 2."""
    return f"void_pass{number}.safetensors"


def weight_map(index: Path) -> dict[str, str]:
    """Return the name of the shard of each tensor, by the tensor's name.

    Raises:
        UnreadableFile: the index is missing, damaged, or names a shard outside its folder.
    """
    found = read_json(index).get("weight_map")
    plain = isinstance(found, dict) and all(
        isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..") for name in found.values()
    )
    if not found or not plain:
        raise UnreadableFile(f"{index} names no shards under weight_map; download that file again")
    return dict(found)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a small file.

    Raises:
        UnreadableFile: the file is missing, over 1 MiB (a shard index: 16 MiB), not JSON, or holds no object.
    """
    limit = _CONFIG_LIMIT * (16 if path.name.endswith(".index.json") else 1)
    try:
        with path.open("rb") as handle:
            data = handle.read(limit + 1)
        found = json.loads(data) if len(data) <= limit else None
    except FileNotFoundError as exc:
        raise UnreadableFile(f"{path.parent.name}/{path.name} is not there") from exc
    except OSError as exc:
        raise UnreadableFile(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise UnreadableFile(f"{path} is not JSON; download that file again") from exc
    if not isinstance(found, dict):
        raise UnreadableFile(f"{path} has no JSON object; download that file again")
    return found


def common_prefix(names: Sequence[str]) -> str:
    """Return the prefix that another tool has put before every published name, '' if there is none.

    >>> common_prefix(["model.diffusion_model.proj_out.bias", "model.diffusion_model.proj_out.weight"])
    'model.diffusion_model.'
    """
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    return ""
