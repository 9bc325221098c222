"""The stages of the propagate engine."""

from __future__ import annotations

from gpu_server.engines.base import EngineStage


class PropagateStage(EngineStage):
    """A stage of a job, by the name that clients see, with its share of the time."""

    SURVEY = "look", 0.02
    CAMERA = "camera", 0.01
    MOVERS = "movers", 0.05
    SOURCES = "sources", 0.01
    HIDDEN = "hidden", 0.01
    INVENT = "invent", 0.1
    FILL = "fill", 0.8
