"""Encoding and decoding: the reference's chunks, saving memory, and the model left unchanged."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("torch", reason="the VOID engine needs the extra [void]")

import torch
from diffusers import AutoencoderKLCogVideoX

from gpu_server.engines.void.async_copy import stream_to_host
from gpu_server.engines.void.checkpoint.loading import load_vae
from gpu_server.engines.void.vae import NO_SAVING, MemorySaving, adapted, decode, decode_chunks, encode, encode_chunks
from tests.support.void_cases import COMMITTED


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLCogVideoX:
    return load_vae(COMMITTED / "model", lambda name, tensor: tensor.float())


def shot(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """Return a smooth image that moves: shape [1, 3, count, height, width]."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frames = [torch.stack([(rows * k + columns + 3 * t) % 41 / 20 - 1 for k in (1, 2, 3)]) for t in range(count)]
    return torch.stack(frames, dim=1)[None]


def encoded(vae: AutoencoderKLCogVideoX, frames: torch.Tensor, saving: MemorySaving = NO_SAVING) -> torch.Tensor:
    return encode(vae, lambda start, stop: frames[:, :, start:stop], frames.shape[2], saving)


def decoded(vae: AutoencoderKLCogVideoX, latents: torch.Tensor, saving: MemorySaving = NO_SAVING) -> torch.Tensor:
    return torch.cat(list(decode(vae, latents, saving)), dim=2)


@pytest.mark.parametrize("count", [1, 5, 13, 21])
def test_latents_are_those_of_diffusers(vae, count):
    frames = shot(count)
    with torch.no_grad():
        expected = vae.encode(frames).latent_dist.mode().transpose(1, 2) * vae.config.scaling_factor
    assert torch.equal(encoded(vae, frames), expected)


def test_frames_are_read_once_in_order_and_few_at_a_time(vae):
    frames, asked = shot(61, 16, 16), []

    def source(start, stop):
        asked.append((start, stop))
        return frames[:, :, start:stop]

    encode(vae, source, 61)
    assert asked[0][0] == 0 and asked[-1][1] == 61
    assert all(before[1] == after[0] for before, after in pairwise(asked))
    assert max(stop - start for start, stop in asked) <= 15


@pytest.mark.parametrize("latents_at_once", [1, 2])
@pytest.mark.parametrize("frames", [1, 5, 9, 85, 197, 1001])
def test_chunks_cover_every_frame_and_latent(frames, latents_at_once):
    for chunks, end in (
        (encode_chunks(frames, latents_at_once), frames),
        (decode_chunks(1 + (frames - 1) // 4, latents_at_once), 1 + (frames - 1) // 4),
    ):
        assert [i for start, stop in chunks for i in range(start, stop)] == list(range(end))
    assert max(b - a for a, b in encode_chunks(frames, latents_at_once)) < 8 * latents_at_once


@pytest.mark.parametrize("latents_at_once", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_latents_become_one_frame_and_four_each(vae, count, latents_at_once):
    latents = torch.linspace(-1, 1, count * 16 * 4 * 4).reshape(1, count, 16, 4, 4)
    chunks = list(decode(vae, latents, MemorySaving(latents_at_once=latents_at_once)))
    assert chunks[0].shape == (1, 3, 1, 32, 32)
    assert max(chunk.shape[2] for chunk in chunks) <= 4 * latents_at_once
    assert sum(chunk.shape[2] for chunk in chunks) == 1 + 4 * (count - 1)


def test_decoding_differs_from_diffusers_and_leaves_the_model_unchanged(vae):
    latents = encoded(vae, shot(21)).transpose(1, 2) / vae.config.scaling_factor
    with torch.no_grad():
        before = vae.decode(latents).sample
        ours = decoded(vae, latents.transpose(1, 2) * vae.config.scaling_factor, MemorySaving(rows=8))
        after = vae.decode(latents).sample
    assert torch.equal(before, after)
    assert before.shape[2] == 24 and ours.shape[2] == 21
    assert (before[:, :, 3:] - ours).abs().max() > 1e-3


def test_an_abandoned_decode_leaves_the_model_unchanged(vae):
    classes = [type(module) for module in vae.modules()]
    chunks = decode(vae, torch.zeros(1, 6, 16, 2, 2), MemorySaving(rows=3))
    next(chunks)
    next(chunks)
    chunks.close()
    assert [type(module) for module in vae.modules()] == classes
    assert not any(module._forward_hooks for module in vae.modules())


def test_convolutions_of_one_frame_cache_nothing(vae):
    def tensors(cache):
        parts = cache.items() if cache else ()
        return [name for key, part in parts for name in (tensors(part) if isinstance(part, dict) else [key])]

    latents = torch.zeros(1, 16, 1, 2, 2)
    with torch.no_grad():
        expected, kept = vae.decoder(latents)
        with adapted(vae, NO_SAVING, first=True):
            made, less = vae.decoder(latents)
    assert torch.equal(made, expected)
    assert {"conv_y", "conv_b"} < set(tensors(kept)) and not {"conv_y", "conv_b"} & set(tensors(less))


def test_each_chunk_is_read_after_the_next_one_is_queued():
    seen = []

    def making():
        for number in range(3):
            seen.append(f"made {number}")
            yield torch.full((), number)

    for tensor in stream_to_host(making()):
        seen.append(f"read {int(tensor)}")
    assert seen == ["made 0", "made 1", "read 0", "made 2", "read 1", "read 2"]
    assert list(stream_to_host([])) == []


@pytest.mark.parametrize(
    "saving", [MemorySaving(rows=5), MemorySaving(rows=16, parked=True), MemorySaving(rows=3, latents_at_once=1)]
)
def test_bands_give_the_values_of_whole_frames(vae, saving):
    frames, whole = shot(13), MemorySaving(latents_at_once=saving.latents_at_once)
    latents = encoded(vae, frames, whole)
    torch.testing.assert_close(encoded(vae, frames, saving), latents, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(decoded(vae, latents, saving), decoded(vae, latents, whole), rtol=1e-5, atol=1e-4)


def test_single_latents_give_other_values(vae):
    latents = encoded(vae, shot(21))
    one, two = decoded(vae, latents, MemorySaving(latents_at_once=1)), decoded(vae, latents)
    assert torch.equal(one[:, :, :1], two[:, :, :1])
    assert 1e-4 < (one - two).std() / two.std() < 0.1


def test_values_beyond_one_are_not_clipped(vae):
    bright = shot(5) * 3
    assert not torch.allclose(encoded(vae, bright), encoded(vae, bright.clamp(-1, 1)), atol=1e-2)
    assert decoded(vae, torch.full((1, 2, 16, 4, 4), 30.0)).abs().max() > 1


def test_a_model_in_bfloat16_gives_float32_near_the_wide_one(vae):
    narrow = load_vae(COMMITTED / "model", lambda name, tensor: tensor.bfloat16())
    frames = shot(5, 16, 16)
    made = encoded(narrow, frames, MemorySaving(rows=4))
    assert made.dtype == torch.float32
    assert (made - encoded(vae, frames)).abs().max() < 0.1
