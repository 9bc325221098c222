"""Attention backends by name.

diffusers' CogVideoX calls torch's scaled dot-product attention itself, and its `set_attention_backend` has no effect on
it. So the transformer gets a processor of ours, which calls the kernel that was asked for.
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

from gpu_server.engines.void.device_errors import is_device_lost, is_out_of_memory
from gpu_server.engines.void.precision.layers import check_name
from void_bridge.errors import EngineError

Product = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function of query, key and value, shape [B, S, heads, head] each, that returns the same shape."""


def _torch_product(backend: SDPBackend | None) -> Product:
    """Return torch's own attention by a backend; None lets torch choose."""

    def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads_first = (x.transpose(1, 2) for x in (query, key, value))
        if backend is None:
            return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)

    return product


def _package_product(backend: str) -> Product:
    """Return the attention of a package, by diffusers' name for it."""

    def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dispatch_attention_fn(query, key, value, backend=backend)

    return product


@dataclass(frozen=True)
class AttentionKernel:
    """An implementation of attention.

    Attributes:
        product: the function.
        cuda: whether it needs a CUDA device.
        package: the package that it is imported from; '' for torch's own.
        install: the name of the package for people who install it.
    """

    product: Product
    cuda: bool = False
    package: str = ""
    install: str = ""


KERNELS: dict[str, AttentionKernel] = {
    "sdpa": AttentionKernel(_torch_product(None)),
    "sdpa-math": AttentionKernel(_torch_product(SDPBackend.MATH)),
    "sdpa-flash": AttentionKernel(_torch_product(SDPBackend.FLASH_ATTENTION)),
    "sdpa-cudnn": AttentionKernel(_torch_product(SDPBackend.CUDNN_ATTENTION), cuda=True),
    "flash": AttentionKernel(_package_product("flash"), True, "flash_attn", "flash-attn"),
    "flash3": AttentionKernel(
        _package_product("_flash_3"), True, "flash_attn_interface", "FlashAttention 3, from its source"
    ),
    "sage": AttentionKernel(_package_product("sage"), True, "sageattention", "sageattention"),
}


def available_attention() -> tuple[str, ...]:
    """Return the names that `attention_kernel` accepts on this machine."""
    return tuple(name for name, kernel in KERNELS.items() if not _missing(kernel))


def attention_kernel(name: str) -> AttentionKernel:
    """Return the kernel of a name.

    Raises:
        UsageError: no kernel has this name.
        EngineError: a kernel has it, but this machine lacks a package or device for it.
    """
    check_name("attention", name, tuple(KERNELS))
    if missing := _missing(KERNELS[name]):
        raise EngineError(
            f"attention '{name}' needs {missing}: provide it, or choose one of {', '.join(available_attention())}"
        )
    return KERNELS[name]


def try_kernel(name: str, device: torch.device, dtype: torch.dtype, head_size: int) -> None:
    """Run a kernel once over a few tokens. Most kernels refuse a head size, type or device only when they run.

    Args:
        name: the kernel's name.
        device: the device.
        dtype: the type of query, key and value.
        head_size: channels of a head.

    Raises:
        EngineError: the kernel does not run here.
        Exception: torch's own error, if the device had too little memory or no longer answers.
    """
    tokens = torch.zeros(1, 300, 2, head_size, device=device, dtype=dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            KERNELS[name].product(tokens, tokens, tokens)
        except Exception as exc:
            if is_out_of_memory(exc) or is_device_lost(exc):
                raise
            others = ", ".join(other for other in available_attention() if other != name)
            why = " ".join(" ".join([str(exc), *(str(warning.message) for warning in caught)]).split())
            raise EngineError(
                f"attention '{name}' does not run on {device} in {dtype} with heads of {head_size}: choose one of"
                f" {others} ({why[:400]})"
            ) from exc


def _missing(kernel: AttentionKernel) -> str:
    """Return the package or device that a kernel lacks, '' if none."""
    if kernel.package and importlib.util.find_spec(kernel.package) is None:
        return f"{kernel.install}, which is not installed"
    return "a CUDA device" if kernel.cuda and not torch.cuda.is_available() else ""


class VoidAttention:
    """The attention processor of the transformer: text and video jointly, rotary positions on the video alone.

    Args:
        product: the kernel.
    """

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
        """Compute attention over the tokens of text and video together.

        Args:
            attn: the attention layer, with its projections and norms.
            hidden_states: tokens of the video, shape [B, V, C].
            encoder_hidden_states: tokens of the text, shape [B, T, C].
            attention_mask: None; diffusers' `Attention` passes it to every processor.
            image_rotary_emb: cosines and sines, shape [V, head] each.

        Returns:
            Video, shape [B, V, C], and text, shape [B, T, C].
        """
        text = encoder_hidden_states.shape[1]
        joint = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = (
            project(joint).unflatten(-1, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            query, key = (_rotate(x, image_rotary_emb, text) for x in (query, key))
        attended = self._product(query, key, value).flatten(2)
        projected = attn.to_out[1](attn.to_out[0](attended))
        return projected[:, text:], projected[:, :text]


def _rotate(heads: Tensor, rotary: tuple[Tensor, Tensor], text: int) -> Tensor:
    """Apply rotary positions to the tokens behind the first `text` ones. Shape [B, S, heads, head]."""
    return torch.cat([heads[:, :text], apply_rotary_emb(heads[:, text:], rotary, sequence_dim=1)], dim=1)
