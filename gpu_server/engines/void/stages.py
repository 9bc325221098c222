"""Stages of a job that the VOID engine reports. Nothing here imports torch."""

from __future__ import annotations

from gpu_server.engines.base import EngineStage


class VoidStage(EngineStage):
    """A stage of a job, with its share of the job's time."""

    INPUTS = "look", 0.02
    RECONSTRUCTION = "trip", 0.06
    MASK = "mask", 0.02
    ENCODE = "encode", 0.02
    PROMPT = "prompt", 0.02
    PASS_1 = "pass 1", 0.4
    DECODE_1 = "decode 1", 0.04
    MORPH_CHECK = "morph check", 0.02
    FLOW = "flow", 0.02
    PASS_2 = "pass 2", 0.4
    DECODE_2 = "decode 2", 0.04
    INTERPOLATE = "interpolate", 0.02
    DELIVER = "deliver", 0.02
