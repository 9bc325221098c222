"""Running an engine, and bringing a model's patches onto the plate, mixed with real pixels on request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from gpu_server.engines.base import Clip, Engine, Generated, Patch
from gpu_server.worker.context import RunContext
from gpu_server.worker.hybrid import RealShare, mix_fills
from gpu_server.worker.plate_integration import PlateIntegrator
from void_bridge.errors import EngineError


def generate(engine: Engine, clip: Clip, context: RunContext) -> Iterable[Patch]:
    """Run an engine and return its patches, which may be made as they are taken.

    Raises:
        EngineError: the engine returned anything but a `Generated` of patches, as a generator function does.
        Exception: any failure of the engine.
    """
    generated = engine.generate(clip, context)
    if not isinstance(generated, Generated):
        raise EngineError(
            f"engine {engine.name}: generate() returned a {type(generated).__name__}, expected a Generated; "
            "where it is a generator function, move the `yield` to a method of its own and return Generated(that())"
        )
    if not isinstance(generated.patches, Iterable):
        raise EngineError(
            f"engine {engine.name}: got Generated({type(generated.patches).__name__}), expected an iterable of patches;"
            " call the method that yields them"
        )
    return checked(generated.patches, clip, engine.name)


def checked(patches: Iterable[Patch], clip: Clip, engine: str) -> Iterator[Patch]:
    """Yield an engine's patches as they come.

    Args:
        patches: the patches.
        clip: the clip that the engine got.
        engine: the engine's name.

    Raises:
        EngineError: the patches are not those of `clip.wanted` in that order, or a value is not finite.
    """
    expected = iter(clip.wanted)
    for patch in patches:
        if not isinstance(patch, Patch):
            raise EngineError(f"engine {engine}: got a {type(patch).__name__}, expected a Patch")
        index = next(expected, None)
        if patch.index != index:
            wanted = "no more patches" if index is None else f"that of index {index}, as in clip.wanted"
            raise EngineError(f"engine {engine}: got the patch of index {patch.index}, expected {wanted}")
        for name, values in patch.arrays().items():
            if not np.isfinite(values).all():
                raise EngineError(
                    f"engine {engine}: {name} of frame {clip.frames[index]} (index {index}) has NaN or infinity,"
                    " expected finite values"
                )
        yield patch
    if left := [*expected]:
        raise EngineError(
            f"engine {engine}: got {len(clip.wanted) - len(left)} patches, expected {len(clip.wanted)};"
            f" index {left[0]} is the first that is missing"
        )


def model_patches(
    engine: Engine, real: Engine, integrator: PlateIntegrator, missing: Collection[int], context: RunContext
) -> Iterator[Patch]:
    """Run a model engine and return an iterator over patches of the missing frames: linear, in pixels of the plate.

    The model has run when this returns. Since a frame depends on its neighbours, the model generates every delivered
    frame, each time.

    Args:
        engine: the model.
        real: finds real pixels for `fill=hybrid`.
        integrator: over a clip that wants every delivered frame.
        missing: stored indices of the frames to return.
        context: the context of the job.
    """
    context.report.update(integrator.clip.report())
    generated = generate(engine, integrator.clip, context)
    return _integrated(generated, real, integrator, missing, context)


def _integrated(
    generated: Iterable[Patch],
    real: Engine,
    integrator: PlateIntegrator,
    missing: Collection[int],
    context: RunContext,
) -> Iterator[Patch]:
    """Yield a model's patches on the plate; see `model_patches`."""
    if context.job.fill == "hybrid":
        share, stored = RealShare(), integrator.clip.stored
        real_patches = generate(real, stored, context)
        mixed = mix_fills(integrator.patches(generated, stored.wanted), real_patches, stored, share)
        yield from (patch for patch in mixed if patch.index in missing)
        context.report["real_share"] = round(share.share, 4)
    else:
        yield from integrator.patches(generated, missing)
    context.warn(*integrator.warnings)
