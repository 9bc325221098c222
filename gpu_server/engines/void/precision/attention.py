"""Attention behind a name.

diffusers' CogVideoX calls torch's scaled dot-product attention itself, and its `set_attention_backend` has no effect on
it. So the transformer gets a processor of ours, which leaves the product to the kernel that was asked for.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu_server.engines.void.precision.layers import check_name
from void_bridge.errors import EngineError

Product = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query, key and value, shape [B, S, heads, head] each, to the same shape."""


def _torch_product(backend: SDPBackend | None) -> Product:
    def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads_first = (x.transpose(1, 2) for x in (query, key, value))
        if backend is None:
            return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)

    return product


def _package_product(backend: str) -> Product:
    def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dispatch_attention_fn(query, key, value, backend=backend)

    return product


@dataclass(frozen=True)
class Kernel:
    """package: what it is imported from, none for torch's own. install: what a person installs for it."""

    product: Product
    cuda: bool = False
    package: str = ""
    install: str = ""


KERNELS: dict[str, Kernel] = {
    "sdpa": Kernel(_torch_product(None)),
    "sdpa-math": Kernel(_torch_product(SDPBackend.MATH)),
    "sdpa-flash": Kernel(_torch_product(SDPBackend.FLASH_ATTENTION)),
    "sdpa-cudnn": Kernel(_torch_product(SDPBackend.CUDNN_ATTENTION), cuda=True),
    "flash": Kernel(_package_product("flash"), True, "flash_attn", "flash-attn"),
    "flash3": Kernel(_package_product("_flash_3"), True, "flash_attn_interface", "FlashAttention 3, from its source"),
    "sage": Kernel(_package_product("sage"), True, "sageattention", "sageattention"),
}


def available_attention() -> tuple[str, ...]:
    """The names that `attention_kernel` takes on this machine."""
    return tuple(name for name, kernel in KERNELS.items() if not _missing(kernel))


def attention_kernel(name: str) -> Kernel:
    """
    Raises:
        UsageError: no attention has this name.
        EngineError: one has, but this machine cannot run it.
    """
    check_name("attention", name, tuple(KERNELS))
    if missing := _missing(KERNELS[name]):
        raise EngineError(
            f"attention '{name}' needs {missing}: provide it, or choose one of {', '.join(available_attention())}"
        )
    return KERNELS[name]


def try_kernel(name: str, device: torch.device, dtype: torch.dtype, head_size: int) -> None:
    """Run an attention once over a few tokens: most kernels say only then which heads, types and devices they refuse.

    Raises:
        EngineError: it does not run here.
    """
    tokens = torch.zeros(1, 300, 2, head_size, device=device, dtype=dtype)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            KERNELS[name].product(tokens, tokens, tokens)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except Exception as exc:
            others = ", ".join(other for other in available_attention() if other != name)
            why = " ".join(" ".join([str(exc), *(str(warning.message) for warning in said)]).split())
            raise EngineError(
                f"attention '{name}' does not run on {device} in {dtype} with heads of {head_size}: choose one of"
                f" {others} ({why[:400]})"
            ) from exc


def _missing(kernel: Kernel) -> str:
    if kernel.package and importlib.util.find_spec(kernel.package) is None:
        return f"{kernel.install}, which is not installed"
    return "a CUDA device" if kernel.cuda and not torch.cuda.is_available() else ""


class VoidAttention:
    """Joint attention of text and video, as CogVideoX has it; rotary positions on the video's part alone."""

    def __init__(self, product: Product) -> None:
        self._product = product

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """hidden_states: shape [B, V, C]. encoder_hidden_states: shape [B, T, C]. Returns both again, in this order.

        attention_mask: what diffusers' `Attention` hands every processor; CogVideoX has none.
        """
        text = encoder_hidden_states.shape[1]
        joint = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = (
            project(joint).unflatten(-1, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            query, key = (_rotated(x, image_rotary_emb, text) for x in (query, key))
        attended = self._product(query, key, value).flatten(2)
        projected = attn.to_out[1](attn.to_out[0](attended))
        return projected[:, text:], projected[:, :text]


def _rotated(heads: Tensor, rotary: tuple[Tensor, Tensor], text: int) -> Tensor:
    return torch.cat([heads[:, :text], apply_rotary_emb(heads[:, text:], rotary, sequence_dim=1)], dim=1)
