"""Flow-warped noise of a clip, computed frame by frame in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import numpy as np

from gpu_server.engines.base import Array
from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT, LATENT_CHANNELS
from gpu_server.engines.void.noise_field import NoiseField
from void_bridge.bounded_map import bounded_map
from void_bridge.errors import InputError

_FLOWS_AHEAD = 3


def warped_noise(
    flows: Iterable[Array],
    latents: int,
    shape: tuple[int, int],
    seed: int,
    channels: int = LATENT_CHANNELS,
) -> Array:
    """Return the noise of each latent of a clip; latent k has the noise of frame 4 k.

    Args:
        flows: flow k moves the content at p in frame k to p + flow[p] in frame k + 1; shape [8 h, 8 w, 2], x and y in
            canvas pixels. 4 (latents - 1) of them are read, one by one. Where a flow is not finite, noise is new.
        latents: number of latents.
        shape: height and width in latents.
        seed: the same seed and flows give the same bytes.
        channels: number of channels.

    Returns:
        Shape [latents, channels, h, w], float32, N(0, 1).

    Raises:
        SizeMismatch: if a flow has another shape.
        InputError: if there are too few flows.
    """
    noise = np.empty((latents, channels, *shape), np.float32)
    field = NoiseField(shape, seed, channels)
    noise[0] = field.latents()
    wanted = FRAMES_A_LATENT * (latents - 1)
    frame = 0
    for frame, flow in enumerate(islice(flows, wanted), start=1):
        field.move(flow)
        if frame % FRAMES_A_LATENT == 0:
            noise[frame // FRAMES_A_LATENT] = field.latents()
    if frame < wanted:
        raise InputError(f"got {frame} flows for {latents} latents, expected {wanted}: one between every two frames")
    return noise


def noise_of_frames(
    flows: Iterable[Array], shape: tuple[int, int], seed: int, channels: int = LATENT_CHANNELS
) -> Iterator[Array]:
    """Yield the noise of every frame, shape [channels, h, w]; the arguments are those of `warped_noise`."""
    field = NoiseField(shape, seed, channels)
    yield field.latents()
    for flow in flows:
        field.move(flow)
        yield field.latents()


def flow_sequence(frames: Iterable[Array], flow: Flow) -> Iterator[Array]:
    """Yield the flow from each frame to the next, computed a few frames ahead on a thread.

    Args:
        frames: shape [H, W, 3] each, as `Flow.between` takes them; read in order, on the caller's thread.
        flow: the optical flow to use.
    """
    with ThreadPoolExecutor(1, "flow") as pool:
        yield from bounded_map(pool, _FLOWS_AHEAD + 1, lambda pair: flow.between(*pair), pairwise(frames))
