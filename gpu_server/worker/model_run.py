"""A model engine over a stored shot: framed, run, brought back to the plate, and mixed with real pixels on request."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from gpu_server.engines.base import Engine, Patch
from gpu_server.worker.context import RunContext
from gpu_server.worker.hybrid import RealShare, hybrid
from gpu_server.worker.plate_integration import PlateIntegrator


def model_patches(
    engine: Engine, real: Engine, back: PlateIntegrator, missing: Collection[int], context: RunContext
) -> Iterator[Patch]:
    """Patches of the missing frames, linear, in pixels of the plate. Returns once the model is through.

    What a frame becomes depends on its neighbours, so that the model gives all that are delivered, each time.

    Args:
        real: finds real pixels for `fill=hybrid`.
        back: from a clip that wants every frame that is delivered.
        missing: stored indices.
    """
    context.report.update(back.clip.report())
    made = engine.run(back.clip, context)
    first = list(itertools.islice(made, 1))
    return _brought_back(itertools.chain(first, made), real, back, missing, context)


def _brought_back(
    made: Iterator[Patch], real: Engine, back: PlateIntegrator, missing: Collection[int], context: RunContext
) -> Iterator[Patch]:
    if context.job.fill == "hybrid":
        share, stored = RealShare(), back.clip.stored
        mixed = hybrid(back.patches(made, stored.wanted), real.run(stored, context), stored, share)
        yield from (patch for patch in mixed if patch.index in missing)
        context.report["real_share"] = round(share.share, 4)
    else:
        yield from back.patches(made, missing)
    context.warn(*back.warnings)
