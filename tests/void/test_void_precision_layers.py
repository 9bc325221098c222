"""8-bit linears, and the layers that become 8-bit ones."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install void-bridge[void]")

import torch.nn.functional as F  # noqa: E402

from gpu_server.engines.void.checkpoint.loading import empty_transformer  # noqa: E402
from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG  # noqa: E402
from gpu_server.engines.void.precision.float8 import (  # noqa: E402
    FLOAT8,
    Float8Linear,
    StoredFloat8Linear,
    _product,
    _product_of_older_torch,
    check_float8_device,
    float8_linear,
    quantise_rows,
    quantise_weight,
    row_wise_product,
)
from gpu_server.engines.void.precision.layers import check_name, role_of, split_name  # noqa: E402
from void_bridge.errors import EngineError, UsageError  # noqa: E402
from void_bridge.options import PRECISIONS  # noqa: E402


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(*shape, generator=generator)


def error(got, expected) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def linear(draw, outputs: int, inputs: int, *, computed: bool):
    weight, bias = draw(outputs, inputs) * inputs**-0.5, draw(outputs)
    return float8_linear(*quantise_weight(weight), bias, computed=computed), weight, bias


def test_every_layer_of_the_full_model_has_a_role_and_most_weights_are_quantised():
    sizes: Counter[str] = Counter()
    for name, parameter in empty_transformer(FULL_CONFIG).named_parameters():
        module, kind = split_name(name)
        sizes[role_of(module), kind == "weight" and parameter.ndim == 2] += parameter.numel()
    assert sizes["quantised", True] == 4_756_340_736
    assert sizes["table", True] + sizes["table", False] == 794_271_744 + 6144 * 513
    assert sizes["full", True] + sizes["full", False] < 20_000_000
    assert sum(sizes.values()) == 5_571_462_784


@pytest.mark.parametrize("name", ["transformer_blocks.0.attn1.add_q_proj", "ofs_embedding.linear_1", "proj", ""])
def test_an_unknown_layer_stops_the_load(name):
    with pytest.raises(EngineError, match=f"'{name}'"):
        role_of(name)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'fp4'.*float32, bf16, fp8-stored, fp8"):
        check_name("precision", "fp4", PRECISIONS)


@pytest.mark.parametrize(("computed", "least", "most"), [(False, 0.02, 0.03), (True, 0.03, 0.04)])
def test_errors_are_those_of_three_bits_of_mantissa(draw, computed, least, most):
    layer, weight, bias = linear(draw, 384, 768, computed=computed)
    values = draw(2, 9, 768)
    assert least < error(layer(values) - bias, F.linear(values, weight)) < most


def test_computed_and_stored_layers_have_the_same_weight(draw):
    layer, _, bias = linear(draw, 32, 64, computed=True)
    values = draw(7, 64)
    quantised, scale = quantise_rows(values)
    assert error(layer(values), StoredFloat8Linear(layer.weight, layer.scale, bias)(quantised.float() * scale)) < 0.003


def test_the_product_of_an_older_torch_gives_the_same_result(draw):
    assert row_wise_product is _product
    quantised, scale = quantise_rows(draw(7, 64))
    given = (quantised, scale, *quantise_weight(draw(32, 64)), draw(32).bfloat16())
    assert torch.equal(_product_of_older_torch(*given), _product(*given))


def test_widening_a_stored_weight_to_bfloat16_is_exact(draw):
    layer, _, _ = linear(draw, 32, 64, computed=False)
    assert torch.equal(layer.widened_weight(torch.bfloat16).float(), layer.widened_weight(torch.float32))


def test_the_output_has_the_type_and_shape_of_the_input(draw):
    for computed in (False, True):
        layer, _, _ = linear(draw, 48, 32, computed=computed)
        assert layer.weight.dtype == FLOAT8
        for dtype in (torch.float32, torch.bfloat16):
            got = layer(draw(2, 3, 32).to(dtype))
            assert got.shape == (2, 3, 48) and got.dtype == dtype


def test_an_outlier_neither_saturates_nor_reaches_other_rows(draw):
    layer, weight, bias = linear(draw, 64, 128, computed=True)
    values = draw(6, 128)
    before = layer(values)
    values[2, 5] = 1e4
    after, expected = layer(values), F.linear(values, weight, bias)
    assert error(after[2], expected[2]) < 0.04
    assert torch.equal(after[[0, 1, 3, 4, 5]], before[[0, 1, 3, 4, 5]])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("computed", [False, True])
def test_a_value_that_is_not_finite_shows_in_its_row_alone(draw, bad, computed):
    layer, _, _ = linear(draw, 32, 64, computed=computed)
    values = draw(4, 64)
    values[1, 7] = bad
    finite = layer(values).isfinite()
    assert not finite[1].any() and finite[[0, 2, 3]].all()


@pytest.mark.parametrize("computed", [False, True])
def test_zeros_give_the_bias_and_a_zero_row_of_weights_too(draw, computed):
    weight, bias = draw(32, 64), draw(32).bfloat16().float()
    weight[4] = 0
    layer = float8_linear(*quantise_weight(weight), bias, computed=computed)
    assert torch.equal(layer(torch.zeros(3, 64)), bias.expand(3, -1))
    assert torch.equal(layer(draw(3, 64))[:, 4], bias[4].expand(3))


@pytest.mark.parametrize("computed", [False, True])
def test_an_empty_batch_gives_an_empty_result(draw, computed):
    layer, _, _ = linear(draw, 32, 64, computed=computed)
    assert layer(torch.empty(2, 0, 64)).shape == (2, 0, 32)


@pytest.mark.parametrize("magnitude", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_weights_of_any_magnitude_keep_their_precision(draw, magnitude):
    weight = draw(16, 64) * magnitude
    quantised, scale = quantise_weight(weight)
    assert error(quantised.double() * scale / magnitude, weight.double() / magnitude) < 0.03


def test_a_weight_whose_sides_are_no_multiples_of_16_is_widened_for_the_product(draw):
    for outputs, inputs in ((24, 64), (64, 24)):
        layer, weight, bias = linear(draw, outputs, inputs, computed=True)
        assert type(layer) is StoredFloat8Linear
        values = draw(5, inputs)
        assert error(layer(values), F.linear(values, weight, bias)) < 0.03
    assert type(linear(draw, 32, 64, computed=True)[0]) is Float8Linear


def test_a_device_without_8_bit_products_is_refused():
    check_float8_device(torch.device("cpu"))
    with pytest.raises(EngineError, match="fp8-stored"):
        check_float8_device(torch.device("meta"))
