"""The role of each layer of the transformer: quantised to 8 bits, kept at full precision, or replaced by a table.

Every module of `CogVideoXTransformer3DModel` that has weights is named here. An unknown one stops the load, so that no
layer is quantised or left at full precision by accident.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from void_bridge.errors import EngineError, UsageError

FP8_CAPABILITY = (8, 9)
"""Compute capability from which a GPU multiplies 8-bit floats."""

Role = Literal["quantised", "full", "table"]

_BLOCK = r"transformer_blocks\.\d+\."
_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("quantised", re.compile(_BLOCK + r"(attn1\.to_[qkv]|attn1\.to_out\.0|ff\.net\.0\.proj|ff\.net\.2)")),
    ("table", re.compile(rf"{_BLOCK}norm[12]\.linear|norm_out\.linear")),
    ("full", re.compile(rf"{_BLOCK}(norm[12]\.norm|attn1\.norm_[qk])|norm_final|norm_out\.norm")),
    ("full", re.compile(r"patch_embed\.(proj|text_proj)|time_embedding\.linear_[12]|proj_out")),
)


def is_float8(precision: str) -> bool:
    """Return whether a precision stores 8-bit weights."""
    return precision in ("fp8", "fp8-stored")


def role_of(module: str) -> Role:
    """Return the role of a module that has weights, by its name in the transformer.

    quantised: attention projections and feed-forward, 4.76 B of 5.57 B parameters, which 8-bit precisions quantise.
    table: the AdaLN linears, 0.79 B, whose outputs depend on the timestep alone. full: all others, which are small and
    near the input or the output.

    >>> role_of("transformer_blocks.41.attn1.to_q"), role_of("proj_out"), role_of("norm_out.linear")
    ('quantised', 'full', 'table')

    Raises:
        EngineError: the module is not known.
    """
    for role, pattern in _ROLES:
        if pattern.fullmatch(module):
            return role
    raise EngineError(
        f"got the layer '{module}', which this transformer should not have; expected the layers of a"
        " CogVideoXTransformer3DModel: use a published checkpoint and diffusers 0.42"
    )


def split_name(tensor: str) -> tuple[str, str]:
    """Split the name of a tensor into its module and its parameter.

    >>> split_name("transformer_blocks.0.ff.net.2.weight")
    ('transformer_blocks.0.ff.net.2', 'weight')
    """
    module, _, parameter = tensor.rpartition(".")
    return module, parameter


def check_name(kind: str, name: str, known: Sequence[str]) -> None:
    """Check that a name is known.

    Args:
        kind: the kind of name, for the message.
        name: the name.
        known: all known names.

    Raises:
        UsageError: it is not.
    """
    if name not in known:
        raise UsageError(f"got {kind} '{name}', expected one of {', '.join(known)}")
