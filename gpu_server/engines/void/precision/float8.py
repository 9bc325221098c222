"""Linear layers whose weights are 8-bit floats (e4m3) with a scale for each row.

`StoredFloat8Linear` widens its weight at every use: half the memory, the arithmetic of the activations.
`Float8Linear` quantises its activations too, with a scale for each row of each call, and multiplies in 8 bits by
torch's `scaled_mm` (in an older torch `_scaled_mm`), which runs on CPUs and on CUDA devices from compute capability
8.9.

e4m3 has 3 bits of mantissa and a largest value of 448; a cast of a larger value, infinity included, silently gives
448. Scales are computed from the data itself, so that no value is larger, and a row that holds an infinity or a NaN
becomes NaN.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_server.engines.void.precision.layers import FP8_CAPABILITY
from void_bridge.errors import EngineError

FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
SMALLEST_SCALE = 2.0**-100
SIDE_MULTIPLE = 16
"""Both sides of a weight are multiples of this for CUDA's 8-bit product."""


def quantise_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise rows to 8 bits and a scale each, so that `values` is about `quantised.float() * scale`.

    A row of zeros stays zeros. A row with an infinity or a NaN has a scale that is not finite, and so is any product
    with it.

    Args:
        values: shape [R, K], any float type.

    Returns:
        The 8-bit values, shape [R, K], e4m3, and the scales, shape [R, 1], float32.
    """
    scale = (values.abs().amax(-1, keepdim=True).float() / LARGEST).clamp(min=SMALLEST_SCALE)
    return (values / scale).to(FLOAT8), scale


def quantise_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight as `quantise_rows` does, with powers of two for scales, so that widening to bfloat16 is exact.

    Rounding a scale up to a power of two costs no precision of a float, only a part of its range: at worst the
    smallest weights of a row, 2^-14 of the largest, lose a bit.

    Args:
        weight: shape [N, K], any float type.

    Returns:
        The 8-bit weight, shape [N, K], e4m3, and the scales, shape [N, 1], float32.
    """
    values = weight.float()
    largest = values.abs().amax(-1, keepdim=True).clamp(min=SMALLEST_SCALE)
    scale = torch.exp2(torch.ceil(torch.log2(largest / LARGEST)))
    return (values / scale).to(FLOAT8), scale


def _product(values: Tensor, scales: Tensor, weight: Tensor, weight_scales: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply values by a weight, e4m3 by e4m3, with a scale for each row of both.

    Args:
        values: shape [R, K], e4m3.
        scales: shape [R, 1], float32.
        weight: shape [N, K], e4m3.
        weight_scales: shape [N, 1], float32.
        bias: shape [N], bfloat16, or None.

    Returns:
        Shape [R, N], bfloat16.
    """
    return F.scaled_mm(
        values,
        weight.t(),
        scales,
        F.ScalingType.RowWise,
        weight_scales.t(),
        F.ScalingType.RowWise,
        bias=bias,
        output_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def _product_of_older_torch(
    values: Tensor, scales: Tensor, weight: Tensor, weight_scales: Tensor, bias: Tensor | None
) -> Tensor:
    """Multiply as `_product` does, by the function that torch had before `scaled_mm`."""
    return torch._scaled_mm(
        values,
        weight.t(),
        scale_a=scales,
        scale_b=weight_scales.t(),
        bias=bias,
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


row_wise_product = _product if hasattr(F, "scaled_mm") else _product_of_older_torch


class StoredFloat8Linear(nn.Module):
    """A linear layer that keeps an e4m3 weight and computes in the type of its input.

    Args:
        weight: shape [N, K], e4m3.
        scale: shape [N, 1], float32.
        bias: shape [N], any float type, or None.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def widened_weight(self, dtype: torch.dtype) -> Tensor:
        """Return the weight in a wider type, shape [N, K]; exact in bfloat16 and wider."""
        return self.weight.to(dtype) * self.scale.to(dtype)

    def forward(self, values: Tensor) -> Tensor:
        """Apply the layer to `values`, shape [..., K], and return shape [..., N] in the same type."""
        bias = None if self.bias is None else self.bias.to(values.dtype)
        return F.linear(values, self.widened_weight(values.dtype), bias)

    def extra_repr(self) -> str:
        """Return the sizes, as torch prints them for a linear layer."""
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}, bias={self.bias is not None}"


class Float8Linear(StoredFloat8Linear):
    """A linear layer that multiplies e4m3 by e4m3; its product is bfloat16.

    It adds up in float32 (on Hopper with fewer bits, by `use_fast_accum`, without which 8 bits are not fast there).
    N and K are multiples of 16. The bias is bfloat16, or None.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Apply the layer to `values`, shape [..., K], and return shape [..., N] in the same type, through bfloat16."""
        quantised, scale = quantise_rows(values.flatten(0, -2))
        product = row_wise_product(quantised, scale, self.weight, self.scale, self.bias)
        return product.unflatten(0, values.shape[:-1]).to(values.dtype)


def float8_linear(weight: Tensor, scale: Tensor, bias: Tensor | None, *, computed: bool) -> StoredFloat8Linear:
    """Return the layer for an e4m3 weight.

    Args:
        weight: shape [N, K], e4m3.
        scale: shape [N, 1], float32.
        bias: shape [N], any float type, or None.
        computed: whether to multiply in 8 bits. A weight whose sides are no multiples of 16 is widened anyway.
    """
    if computed and not any(side % SIDE_MULTIPLE for side in weight.shape):
        return Float8Linear(weight, scale, None if bias is None else bias.to(torch.bfloat16))
    return StoredFloat8Linear(weight, scale, bias)


def check_float8_device(device: torch.device) -> None:
    """Check that a device multiplies 8-bit floats.

    Raises:
        EngineError: it does not.
    """
    if device.type == "cpu":
        return
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    if capability is None or capability < FP8_CAPABILITY:
        got = "no CUDA device" if capability is None else "compute capability {}.{}".format(*capability)
        raise EngineError(f"got {device} ({got}), expected 8.9 or later for the precision 'fp8': choose 'fp8-stored'")
