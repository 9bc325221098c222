"""Windows, noise, conditioning, prompts and the denoising loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch", reason="the VOID engine needs the extra [void]")

import torch
from diffusers import CogVideoXDDIMScheduler, DDIMScheduler

from gpu_server.engines.void.checkpoint.loading import (
    load_scheduler,
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from gpu_server.engines.void.conditioning import add_noise, conditioning_latents, encode_mask, encode_plate, mask_frames
from gpu_server.engines.void.denoise import DenoiseSettings, Guidance, PlainDenoiser, denoise, make_guidance, rotary
from gpu_server.engines.void.latent_windows import (
    LatentWindow,
    blend_weights,
    equal_windows,
    reference_windows,
)
from gpu_server.engines.void.noise import initial_latents, plate_noise
from gpu_server.engines.void.text import TOKENS, prompt_embeddings, truncated_text
from tests.support.void_cases import COMMITTED
from void_bridge.errors import Cancelled, NotFinite, UsageError

MODELS = COMMITTED / "model"
CPU = torch.device("cpu")


class Linear:
    """A denoiser whose velocity is `factor` times the noise plus the mean of the prompt."""

    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor
        self.started: list[int] = []
        self.asked: list[tuple[int, tuple[int, ...], torch.dtype]] = []

    def start(self, timesteps: Sequence[int]) -> None:
        self.started = list(timesteps)

    def __call__(self, hidden, prompt_embeds, timestep, rotary):
        self.asked.append((timestep, tuple(hidden.shape), hidden.dtype))
        assert rotary[0].shape == (math.prod(hidden.shape[1:]) // 48 // 8, 64)
        return hidden[:, :, :16] * self.factor + prompt_embeds.mean(dim=(1, 2)).view(-1, 1, 1, 1, 1)


def a_loop(windows: Sequence[LatentWindow], steps: int = 4, dtype: torch.dtype = torch.float32) -> DenoiseSettings:
    return DenoiseSettings(1, steps, windows, dtype=dtype)


def a_shot(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return initial_latents(5, count, (4, 6)), torch.zeros(1, count, 32, 4, 6)


NO_PROMPT = Guidance(torch.zeros(1, 226, 8))


# windows


@pytest.mark.parametrize(
    ("latents", "reference", "equal"),
    [
        (2, [(0, 2)], [(0, 2)]),
        (22, [(0, 22)], [(0, 22)]),
        (24, [(0, 22), (18, 24)], [(0, 22), (2, 24)]),
        (40, [(0, 22), (18, 40)], [(0, 22), (18, 40)]),
        (50, [(0, 22), (18, 40), (36, 50)], [(0, 22), (18, 40), (28, 50)]),
    ],
)
def test_windows_of_a_shot_start_and_stop_as_expected(latents, reference, equal):
    assert [(w.start, w.stop) for w in reference_windows(latents)] == reference
    assert [(w.start, w.stop) for w in equal_windows(latents)] == equal


@pytest.mark.parametrize("plan", [reference_windows, equal_windows])
@pytest.mark.parametrize("latents", [2, 14, 24, 42, 66, 250])
def test_windows_cover_a_shot_and_weights_are_positive(plan, latents):
    windows = plan(latents)
    total = np.zeros(latents, np.float32)
    for window, weights in zip(windows, blend_weights(windows), strict=True):
        assert weights.shape == (window.count,) and (weights > 0).all() and window.count % 2 == 0
        total[window.slice] += weights
    assert (total > 0).all()
    assert all(before.start < after.start for before, after in pairwise(windows))


def test_weights_ramp_over_shared_latents():
    first, second, third = blend_weights(equal_windows(50))
    np.testing.assert_allclose(first[-4:], [0.8, 0.6, 0.4, 0.2], rtol=1e-6)
    np.testing.assert_allclose(second[:4], [0.2, 0.4, 0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(third[:12], np.arange(1, 13) / 13, rtol=1e-6)
    np.testing.assert_allclose(second[-12:] + third[:12], 1, rtol=1e-6)
    assert (first[:-4] == 1).all() and (third[12:] == 1).all()


@pytest.mark.parametrize(("latents", "window", "overlap"), [(50, 22, 22), (51, 22, 4), (50, 21, 4), (50, 22, -2)])
def test_impossible_windows_are_refused(latents, window, overlap):
    for plan in (reference_windows, equal_windows):
        with pytest.raises(UsageError):
            plan(latents, window, overlap)


def test_an_overlap_does_not_matter_to_a_shot_of_one_window():
    assert reference_windows(4, 4, 4) == equal_windows(4, 22, 30) == (LatentWindow(0, 4),)


def test_an_odd_last_window_is_refused():
    with pytest.raises(UsageError, match="even"):
        reference_windows(12, 8, 3)


# noise


def test_each_frame_has_noise_of_its_own_at_any_length():
    long, short = initial_latents(3, 12, (4, 6)), initial_latents(3, 4, (4, 6))
    assert torch.equal(long[:, :4], short) and long.shape == (1, 12, 16, 4, 6)
    assert not torch.equal(long, initial_latents(4, 12, (4, 6)))
    frames = plate_noise(3, 0, 9, (8, 10))
    assert torch.equal(frames[:, :, 5:9], plate_noise(3, 5, 9, (8, 10))) and frames.shape == (1, 3, 9, 8, 10)
    assert not torch.equal(frames[:, :, 0], frames[:, :, 1])


def test_noise_is_standard_normal():
    drawn = initial_latents(1, 8, (48, 84))
    assert abs(float(drawn.mean())) < 0.01 and abs(float(drawn.std()) - 1) < 0.01
    assert float((drawn**4).mean()) == pytest.approx(3, abs=0.05)


# conditioning


def test_mask_frames_have_three_or_two_levels():
    quadmask = np.array([[[0, 63, 127, 255, 95, 96, 191, 192]]], np.uint8)
    three, two = mask_frames(quadmask, "three"), mask_frames(quadmask, "two")
    assert three.shape == (1, 3, 1, 1, 8)
    assert three[0, 1].flatten().tolist() == pytest.approx([0, 0, 128 / 255, 1, 0, 128 / 255, 128 / 255, 1])
    assert two[0, 2].flatten().tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_noise_spares_minus_one_and_nothing_is_clipped():
    frames = torch.tensor([-1.0, -0.999, 0, 1, 4]).expand(1, 3, 1, 1, 5)
    made = add_noise(frames, torch.full_like(frames, 2.0), 0.0563)
    assert made[0, 0].flatten().tolist() == pytest.approx([-1, -0.999 + 0.1126, 0.1126, 1.1126, 4.1126])


def test_conditioning_is_mask_then_plate():
    vae = load_vae(MODELS, lambda name, tensor: tensor.float())
    frames = torch.linspace(-1, 1, 3 * 5 * 16 * 16).reshape(1, 3, 5, 16, 16)
    mask = encode_mask(vae, lambda a, b: np.full((b - a, 16, 16), 127, np.uint8), 5, "three")
    plate = encode_plate(vae, lambda a, b: frames[:, :, a:b], lambda a, b: plate_noise(1, a, b, (16, 16)), 5)
    conditioning = conditioning_latents(mask, plate)
    assert conditioning.shape == (1, 2, 32, 2, 2)
    assert torch.equal(conditioning[:, :, :16], mask) and torch.equal(conditioning[:, :, 16:], plate)
    quiet = encode_plate(vae, lambda a, b: frames[:, :, a:b], lambda a, b: torch.zeros(1, 3, b - a, 16, 16), 5)
    assert not torch.equal(plate, quiet)


# text


@pytest.fixture(scope="module")
def embed():
    encoder = load_text_encoder(MODELS, lambda name, tensor: tensor.float())
    return lambda text: prompt_embeddings(load_tokenizer(MODELS), encoder, text)


@pytest.mark.parametrize("text", ["", "a lime falls on the table", "  spaces  around "])
def test_a_short_prompt_is_read_whole(embed, text):
    assert embed(text).shape == (1, TOKENS, 24) and truncated_text(load_tokenizer(MODELS), text) == ""


def test_a_long_prompt_says_which_words_were_cut(embed):
    def end_of(prompt: str) -> str:
        return truncated_text(load_tokenizer(MODELS), prompt)

    words = [f"table{'' if i % 2 else ' a'}" for i in range(400)]
    text = " ".join(words)
    cut = end_of(text)
    kept = text.removesuffix(cut)
    assert cut and kept.endswith(" ") and text == kept + cut
    assert end_of(kept) == "" and end_of(kept + cut.split()[0]) == cut.split()[0]
    assert torch.equal(embed(text)[:, :1], embed(text + " and more")[:, :1])


# the loop


def test_every_step_is_reported_and_the_last_estimate_is_the_result():
    latents, conditioning = a_shot(4)
    denoiser, seen = Linear(), []
    done = denoise(
        denoiser,
        load_scheduler(MODELS),
        latents,
        conditioning,
        NO_PROMPT,
        a_loop(reference_windows(4)),
        lambda *a: seen.append(a),
    )
    assert [(step, steps) for step, steps, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert denoiser.started == [asked[0] for asked in denoiser.asked] == [999, 749, 499, 249]
    assert torch.equal(seen[-1][2], done)


def test_an_estimate_is_the_schedulers_predicted_result():
    latents, conditioning = a_shot(4)
    scheduler, seen = load_scheduler(MODELS), []
    denoise(
        Linear(),
        scheduler,
        latents,
        conditioning,
        NO_PROMPT,
        a_loop(reference_windows(4)),
        lambda *a: seen.append(a[2]),
    )
    scheduler.set_timesteps(4)
    expected = scheduler.step(latents * 0.5, 999, latents).pred_original_sample
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)


def test_windows_are_blended_after_every_step():
    """Compare windows with the whole shot, for a denoiser that treats all latents alike."""
    latents, conditioning = a_shot(50)
    scheduler = load_scheduler(MODELS)
    whole = denoise(Linear(), scheduler, latents, conditioning, NO_PROMPT, a_loop([LatentWindow(0, 50)]))
    for windows in (reference_windows(50), equal_windows(50)):
        denoiser = Linear()
        torch.testing.assert_close(
            denoise(denoiser, scheduler, latents, conditioning, NO_PROMPT, a_loop(windows)), whole
        )
        assert [shape[1] for _, shape, _ in denoiser.asked[:3]] == [window.count for window in windows]


def test_guidance_puts_the_negative_prompt_first():
    positive, negative = torch.full((1, 226, 8), 2.0), torch.full((1, 226, 8), 1.0)
    assert make_guidance(positive, negative, 1.0).batch == make_guidance(positive, None, 6.0).batch == 1
    guidance = make_guidance(positive, negative, 6.0)
    assert torch.equal(guidance.embeds, torch.cat([negative, positive]))
    assert guidance.apply(torch.tensor([[1.0], [2.0]])).tolist() == [[7.0]]
    latents, conditioning = a_shot(2)
    denoiser = Linear()
    denoise(denoiser, load_scheduler(MODELS), latents, conditioning, guidance, a_loop(reference_windows(2), steps=1))
    assert denoiser.asked == [(999, (2, 2, 48, 4, 6), torch.float32)]


def test_the_denoiser_gets_its_type_and_latents_stay_float32():
    latents, conditioning = a_shot(2)
    denoiser = Linear()
    loop = a_loop(reference_windows(2), dtype=torch.bfloat16)
    assert denoise(denoiser, load_scheduler(MODELS), latents, conditioning, NO_PROMPT, loop).dtype == torch.float32
    assert {dtype for _, _, dtype in denoiser.asked} == {torch.bfloat16}


def test_both_classes_of_scheduler_give_the_same():
    latents, conditioning = a_shot(4)
    shared = dict(load_scheduler(MODELS).config)
    results = [
        denoise(
            Linear(), cls.from_config(shared), latents, conditioning, NO_PROMPT, a_loop(reference_windows(4), steps=7)
        )
        for cls in (CogVideoXDDIMScheduler, DDIMScheduler)
    ]
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_named_with_step_and_window(value):
    latents, conditioning = a_shot(50)

    class Breaks(Linear):
        def __call__(self, hidden, prompt_embeds, timestep, rotary):
            output = super().__call__(hidden, prompt_embeds, timestep, rotary)
            if len(self.asked) == 5:
                output[0, 3, 2, 1, 0] = value
            return output

    with pytest.raises(NotFinite, match=r"pass 1, step 2 of 4, latents 18 to 39: .*float32"):
        denoise(Breaks(), load_scheduler(MODELS), latents, conditioning, NO_PROMPT, a_loop(reference_windows(50)))


def test_a_cancel_ends_the_loop_between_steps():
    latents, conditioning = a_shot(2)
    denoiser = Linear()

    def on_step(step, steps, estimate):
        if step == 2:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        denoise(
            denoiser, load_scheduler(MODELS), latents, conditioning, NO_PROMPT, a_loop(reference_windows(2)), on_step
        )
    assert len(denoiser.asked) == 2


def test_rotary_embeddings_count_from_the_window_and_past_the_configured_size():
    cosine, sine = rotary(64, 3, 5, 400, CPU)
    assert cosine.shape == sine.shape == (3 * 5 * 400, 64)
    smaller = rotary(64, 3, 5, 7, CPU)[0].view(3, 5, 7, 64)
    assert torch.equal(cosine.view(3, 5, 400, 64)[:, :, :7], smaller)
    assert (cosine[0] == 1).all() and (sine[0] == 0).all()


def test_the_models_own_transformer_runs_in_windows():
    transformer = load_transformer(MODELS, 2, lambda name, tensor: tensor.float())
    latents, conditioning = initial_latents(1, 6, (4, 4)), torch.zeros(1, 6, 32, 4, 4)
    guidance = make_guidance(torch.ones(1, 226, 24), torch.zeros(1, 226, 24), 3.0)
    loop = DenoiseSettings(2, 2, equal_windows(6, 4, 2), transformer.config.attention_head_dim)
    results = [
        denoise(PlainDenoiser(transformer), load_scheduler(MODELS), latents, conditioning, guidance, loop)
        for _ in range(2)
    ]
    assert torch.equal(*results) and results[0].isfinite().all() and not results[0].requires_grad
