"""Linear layers whose weights are eight-bit floats (e4m3), a scale for each row.

`StoredFloat8Linear` widens its weight at every use: half the memory, the arithmetic of the activations.
`Float8Linear` narrows its activations too, a scale for each row of each call, and multiplies in eight bits by torch's
`scaled_mm` (in an older torch `_scaled_mm`), which runs on CPUs and on CUDA devices from compute capability 8.9.

e4m3: 3 bits of mantissa, largest value 448; a cast beyond it, infinity included, gives 448 without a word. Scales are
taken from the data at hand, so that nothing lies beyond, and a row that holds an infinity or a NaN becomes NaN.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_server.engines.void.precision.layers import FP8_CAPABILITY
from void_bridge.errors import EngineError

NARROW = torch.float8_e4m3fn
LARGEST = torch.finfo(NARROW).max
SMALLEST_SCALE = 2.0**-100
STEP = 16
"""What CUDA's eight-bit product asks of both sides of a weight: multiples of this."""


def narrow_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Eight-bit values and their scales: `values` is about `narrow.float() * scale`.

    values: shape [R, K], any float type. Returns shape [R, K] in e4m3 and shape [R, 1] in float32. A row of zeros stays
    zeros; a row with an infinity or a NaN has a scale that is not finite, and so is any product with it.
    """
    scale = (values.abs().amax(-1, keepdim=True).float() / LARGEST).clamp(min=SMALLEST_SCALE)
    return (values / scale).to(NARROW), scale


def narrow_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """As `narrow_rows`, with powers of two for scales: widening the result to bfloat16 is exact.

    Rounding a scale up to a power of two costs no precision of a float, only a part of its range: at worst the
    smallest weights of a row, 2^-14 of the largest, lose a bit.
    """
    wide = weight.float()
    largest = wide.abs().amax(-1, keepdim=True).clamp(min=SMALLEST_SCALE)
    scale = torch.exp2(torch.ceil(torch.log2(largest / LARGEST)))
    return (wide / scale).to(NARROW), scale


def _product(values: Tensor, scales: Tensor, weight: Tensor, weight_scales: Tensor, bias: Tensor | None) -> Tensor:
    """Values by weight, e4m3 by e4m3, with a scale for each row of both.

    values: shape [R, K]. weight: shape [N, K]. scales: shape [R, 1] and [N, 1], float32. bias: shape [N], bfloat16.
    Returns shape [R, N], bfloat16.
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
    """The same by the function that torch had before `scaled_mm`."""
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

    weight: shape [N, K], e4m3. scale: shape [N, 1], float32. bias: shape [N] or None.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def wide_weight(self, dtype: torch.dtype) -> Tensor:
        """Shape [N, K]: the weight that this layer stands for; exact in bfloat16 and wider."""
        return self.weight.to(dtype) * self.scale.to(dtype)

    def forward(self, values: Tensor) -> Tensor:
        """Shape [..., K] to [..., N], in the type of the input."""
        bias = None if self.bias is None else self.bias.to(values.dtype)
        return F.linear(values, self.wide_weight(values.dtype), bias)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}, bias={self.bias is not None}"


class Float8Linear(StoredFloat8Linear):
    """A linear layer that multiplies e4m3 by e4m3; its product is bfloat16.

    It adds up in float32 (on Hopper with fewer bits: `use_fast_accum`, which is what makes eight bits fast there).
    N and K are multiples of 16. bias: shape [N] in bfloat16, or None.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Shape [..., K] to [..., N], in the type of the input, through bfloat16."""
        narrow, scale = narrow_rows(values.flatten(0, -2))
        product = row_wise_product(narrow, scale, self.weight, self.scale, self.bias)
        return product.unflatten(0, values.shape[:-1]).to(values.dtype)


def float8_linear(weight: Tensor, scale: Tensor, bias: Tensor | None, *, computed: bool) -> StoredFloat8Linear:
    """The layer for an e4m3 weight. One whose sides are no multiples of 16 is stored narrow and computed wide."""
    if computed and not any(side % STEP for side in weight.shape):
        return Float8Linear(weight, scale, None if bias is None else bias.to(torch.bfloat16))
    return StoredFloat8Linear(weight, scale, bias)


def check_float8_device(device: torch.device) -> None:
    """
    Raises:
        EngineError: this device cannot multiply in eight bits.
    """
    if device.type == "cpu":
        return
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    if capability is None or capability < FP8_CAPABILITY:
        got = "no CUDA device" if capability is None else "compute capability {}.{}".format(*capability)
        raise EngineError(f"got {device} ({got}), expected 8.9 or later for the precision 'fp8': choose 'fp8-stored'")
