"""Where the files of a checkpoint lie.

A models folder holds the base directory of CogVideoX-Fun (`transformer/ vae/ text_encoder/ tokenizer/ scheduler/`) and
the two VOID transformers beside it. The base may be a sub-folder of its published name, as a download makes it, or its
parts may lie directly in the models folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from void_bridge.errors import UnreadableFile

BASE_NAME = "CogVideoX-Fun-V1.5-5b-InP"
BASE_PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"transformer": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
VOID_CHANNELS = 48
"""Noise, mask latents and video latents, 16 channels each. The base has 33: its mask is one plain channel."""
PATCH_WEIGHT = "patch_embed.proj.weight"

_CONFIG_LIMIT = 1 << 20
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "module.", "model.")


@dataclass(frozen=True)
class Layout:
    """folder: what the user named. base: the folder that holds `transformer/` and its neighbours."""

    folder: Path
    base: Path

    def part(self, name: str) -> Path:
        return self.base / name

    def config_file(self, part: str) -> Path:
        return self.part(part) / ("scheduler_config.json" if part == "scheduler" else "config.json")

    def config(self, part: str) -> dict[str, Any]:
        """The configuration of a part. Raises UnreadableFile."""
        return read_json(self.config_file(part))

    def index_file(self, part: str) -> Path:
        return self.part(part) / f"{WEIGHT_STEMS[part]}.safetensors.index.json"

    def weight_files(self, part: str) -> tuple[Path, ...]:
        """The files of a part's weights: one, or the shards that its index names. They need not be there.

        Raises:
            UnreadableFile: an index that cannot be read.
        """
        single = self.part(part) / f"{WEIGHT_STEMS[part]}.safetensors"
        index = self.index_file(part)
        if single.exists() or not index.exists():
            return (single,)
        return tuple(self.part(part) / name for name in sorted(set(weight_map(index).values())))

    def pass_file(self, number: int) -> Path:
        """`void_pass1.safetensors` or `void_pass2.safetensors`, beside the base or in it; it need not be there."""
        name = pass_name(number)
        inside = self.base / name
        return inside if inside.exists() and not (self.folder / name).exists() else self.folder / name


def resolve(folder: Path) -> Layout:
    """What lies where in a models folder; nothing needs to be there, and then the base belongs into its sub-folder."""
    nested = folder / BASE_NAME
    is_flat = not nested.is_dir() and any((folder / part).is_dir() for part in BASE_PARTS)
    return Layout(folder, folder if is_flat else nested)


def pass_name(number: int) -> str:
    return f"void_pass{number}.safetensors"


def weight_map(index: Path) -> dict[str, str]:
    """Tensor name to the name of its shard. Raises UnreadableFile."""
    found = read_json(index).get("weight_map")
    plain = isinstance(found, dict) and all(
        isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..") for name in found.values()
    )
    if not found or not plain:
        raise UnreadableFile(f"{index} names no shards under weight_map; get that file again")
    return dict(found)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file.

    Raises:
        UnreadableFile: not there, over 1 MiB (the index of a shard list: 16 MiB), not JSON, or not an object.
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
        raise UnreadableFile(f"{path} is not JSON; get that file again") from exc
    if not isinstance(found, dict):
        raise UnreadableFile(f"{path} holds no JSON object; get that file again")
    return found


def common_prefix(names: Sequence[str]) -> str:
    """The prefix that another tool has put before every published name; '' where there is none.

    >>> common_prefix(["model.diffusion_model.proj_out.bias", "model.diffusion_model.proj_out.weight"])
    'model.diffusion_model.'
    """
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    return ""
