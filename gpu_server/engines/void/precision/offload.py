"""Blocks that lie in host memory and come to the device one ahead of their turn."""

from __future__ import annotations

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.hooks import apply_group_offloading


def offload_blocks(transformer: CogVideoXTransformer3DModel, device: torch.device) -> None:
    """Keep the blocks in host memory; the device holds two of them at a time.

    On CUDA the host's copies are pinned and the next block is copied on a stream of its own while one computes;
    elsewhere each block is copied before it is used. The few layers outside the blocks are moved once a call. AdaLN
    tables stay on the device. The host waits for each block, because copies are faster than blocks: left to themselves
    (`record_stream`) they would run ahead until all blocks lie on the device.
    """
    streamed = device.type == "cuda"
    apply_group_offloading(
        transformer,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        non_blocking=streamed,
        use_stream=streamed,
        record_stream=False,
    )
