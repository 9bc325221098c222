"""Where each part is published, which files it is made of, and under which licence.

Source: the model cards and file lists of netflix/void-model and alibaba-pai/CogVideoX-Fun-V1.5-5b-InP on the hub.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_server.engines.void.checkpoint.layout import BASE_NAME, pass_name

BASE_REPOSITORY = f"alibaba-pai/{BASE_NAME}"
PASSES_REPOSITORY = "netflix/void-model"

_BASE_LICENCE = "CogVideoX License (the hub says: other); commercial use has conditions, see LICENSE in the repository"
_VOID_LICENCE = "Apache-2.0 (weights and code); fine-tuned from the base, so see the licence of the transformer, too"


@dataclass(frozen=True)
class PublishedFiles:
    """files: what the part needs of the repository, wildcards allowed. gigabytes: their published size, about."""

    repository: str
    files: tuple[str, ...]
    gigabytes: float
    licence: str


SOURCES = {
    "transformer": PublishedFiles(BASE_REPOSITORY, ("transformer/config.json",), 0.0, _BASE_LICENCE),
    "base weights": PublishedFiles(
        BASE_REPOSITORY, ("transformer/diffusion_pytorch_model*.safetensors*",), 11.14, _BASE_LICENCE
    ),
    "vae": PublishedFiles(BASE_REPOSITORY, ("vae/config.json", "vae/*.safetensors*"), 0.43, _BASE_LICENCE),
    "text_encoder": PublishedFiles(
        BASE_REPOSITORY,
        ("text_encoder/config.json", "text_encoder/*.safetensors*"),
        9.52,
        "Apache-2.0 (T5 v1.1 XXL by Google)",
    ),
    "tokenizer": PublishedFiles(BASE_REPOSITORY, ("tokenizer/*",), 0.001, "Apache-2.0 (T5 v1.1 XXL by Google)"),
    "scheduler": PublishedFiles(BASE_REPOSITORY, ("scheduler/*",), 0.0, _BASE_LICENCE),
    "pass 1": PublishedFiles(PASSES_REPOSITORY, (pass_name(1),), 11.14, _VOID_LICENCE),
    "pass 2": PublishedFiles(PASSES_REPOSITORY, (pass_name(2),), 11.14, _VOID_LICENCE),
}
"""By part. `base weights` are needed only where a pass has 33 channels: the published ones bring every tensor."""
