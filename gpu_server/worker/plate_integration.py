"""Integration of a model's patches into the plate, each with its neighbours, so that decisions are steady in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

import numpy as np
import psutil
from numpy.typing import NDArray

from gpu_server.engines.base import Patch, rng
from gpu_server.worker.model_clip import FramedClip
from void_bridge.bounded_map import bounded_map
from void_bridge.job import Job
from void_bridge.pixels.arrays import Array, spread_indices
from void_bridge.pixels.box import Box
from void_bridge.pixels.cut_off import CutOff, cut_off_warning, find_cut_off
from void_bridge.pixels.grain import Grain
from void_bridge.pixels.integration import (
    CanvasMeasurement,
    IntegratedFrame,
    PlateFrame,
    integrate,
    make_full_fill,
    measure_on_canvas,
    with_neighbours,
)
from void_bridge.pixels.plate_detail import Resize
from void_bridge.pixels.plate_grain import measure_grain

MeasuredPatch = tuple[Patch, CanvasMeasurement | None]

_GRAIN_SAMPLES = 4
_MARGIN_PX = 8  # of the plate, around the pasted pixels
_BYTES_A_PIXEL = 100  # of the crop, while a frame is integrated
_SHARE_OF_MEMORY = 8


class PlateIntegrator:
    """The integration of one job's patches, for engines whose patches carry the plate's reconstruction.

    Args:
        clip: the framed clip that the model ran on.
        job: the job.
        pool: integrates the frames.
        threads: the size of the pool.

    Attributes:
        clip: the framed clip.
    """

    def __init__(self, clip: FramedClip, job: Job, pool: ThreadPoolExecutor, threads: int) -> None:
        self.clip, self._stored, self._job = clip, clip.stored, job
        self._pool, self._threads = pool, threads
        self._cut_offs: dict[int, CutOff] = {}

    def patches(self, generated: Iterable[Patch], deliver: Collection[int]) -> Iterator[Patch]:
        """Return an iterator over patches of the plate: linear pixels of the stored clip.

        Args:
            generated: patches of every frame that the clip wants, in order, in the model domain, over the whole canvas.
            deliver: stored indices; other frames serve as neighbours alone.
        """
        measured = bounded_map(self._pool, self._threads + 1, lambda patch: (patch, self._measure(patch)), generated)
        return bounded_map(
            self._pool, self._frames_at_once, lambda item: self._patch_on_plate(*item), self._windows(measured, deliver)
        )

    def _windows(
        self, measured: Iterable[MeasuredPatch], deliver: Collection[int]
    ) -> Iterator[tuple[Sequence[MeasuredPatch], int]]:
        """Yield each frame to deliver with its neighbours, and its place among them."""
        for window, at in with_neighbours(measured):
            patch, measurement = window[at]
            if self.clip.stored_index(patch.index) in deliver:
                if measurement is not None:
                    self._measure_shot()
                yield window, at

    def _measure_shot(self) -> None:
        """Measure grain and ceiling of the shot, once, before several threads ask for them."""
        _ = self._grain, self.clip.shot_ceiling

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about changes that the paste matte cut off."""
        warning = cut_off_warning(dict(sorted(self._cut_offs.items())))
        return (warning,) if warning else ()

    @property
    def _frames_at_once(self) -> int:
        """The number of frames that are integrated at the same time, by the memory that is available."""
        frame = _BYTES_A_PIXEL * max(box.height * box.width for box in map(self.clip.inside, self.clip.wanted))
        return max(1, min(self._threads, psutil.virtual_memory().available // _SHARE_OF_MEMORY // frame))

    def _patch_on_plate(self, window: Sequence[MeasuredPatch], at: int) -> Patch:
        """Return the patch of one frame on the plate."""
        patch, measurement = window[at]
        if measurement is None or self._needed(patch.index).empty:
            return Patch.unchanged(self.clip.stored_index(patch.index))
        measurements = [one for _, one in window if one is not None]
        return self._integrate(patch, measurements, sum(one is not None for _, one in window[:at]))

    def _measure(self, patch: Patch) -> CanvasMeasurement | None:
        """Measure a patch at the canvas; None if the engine changed nothing."""
        if not patch.generated:
            return None
        index, clip = patch.index, self.clip
        framing = clip.framings[index]
        scale = framing.crop.height / framing.canvas[0], framing.crop.width / framing.canvas[1]
        corner = framing.crop.y0 / scale[0], framing.crop.x0 / scale[1]
        measurement = measure_on_canvas(
            patch.rgb, patch.reconstruction, clip.plate(index), clip.quadmask(index), clip.linear, clip.code, corner
        )
        if measurement.change is not None:
            cut = find_cut_off(measurement.change, clip.matte("paste", index))
            self._cut_offs[clip.frames[index]] = dataclasses.replace(cut, box=self._box_on_plate(cut.box, index))
        return measurement

    def _box_on_plate(self, box: Box, index: int) -> Box:
        """Convert a box of the canvas to pixels of the plate's raster."""
        framing, inside = self.clip.framings[index], self.clip.inside(index)
        y, x = framing.crop.height / framing.canvas[0], framing.crop.width / framing.canvas[1]
        top, left = inside.y0 - (framing.inside.y0 - framing.crop.y0), inside.x0 - (framing.inside.x0 - framing.crop.x0)
        scaled = Box(int(box.y0 * y), int(box.x0 * x), int(np.ceil(box.y1 * y)), int(np.ceil(box.x1 * x)))
        return scaled.moved(top, left)

    def _integrate(self, patch: Patch, measurements: Sequence[CanvasMeasurement], at: int) -> Patch:
        """Integrate one frame into the plate."""
        index, frame = self.clip.stored_index(patch.index), self.clip.frames[patch.index]
        needed = self._needed(patch.index)
        box = needed.relative_to(self.clip.inside(patch.index))
        plate = PlateFrame(
            self._stored.plate(index, needed),
            self.clip.ceiling(patch.index)[box.slices],
            partial(self.clip.framings[patch.index].from_canvas, box=box),
            self.clip.linear,
            self.clip.code,
            self._grain,
            self.clip.exposure,
        )
        done = integrate(measurements, at, plate, self._draws(frame))
        full = self._full_fill(done, plate, frame) if self._job.full_fill else None
        return Patch(index, needed, done.rgb, self._confidence(patch, plate.enlarge, done), full=full)

    def _full_fill(self, done: IntegratedFrame, plate: PlateFrame, frame: int) -> Array:
        """Return the unmasked fill, with grain if the job has any."""
        draws = self._draws(frame)
        return done.generated if draws is None else make_full_fill(done, plate, draws)

    def _needed(self, index: int) -> Box:
        """Return the box of the plate's raster to integrate: around the paste matte, or the crop for a full fill."""
        inside = self.clip.inside(index)
        if self._job.full_fill:
            return inside
        pasted = self._stored.matte_box("paste", self.clip.stored_index(index)) & inside
        return pasted if pasted.empty else pasted.grown(_MARGIN_PX) & inside

    def _confidence(self, patch: Patch, enlarge: Resize, done: IntegratedFrame) -> Array:
        """Return the confidence: 1 for the plate's own pixels, the engine's for the model's."""
        if patch.confidence is None:
            return done.plate_share
        return np.maximum(done.plate_share, np.clip(enlarge(patch.confidence), 0, 1))

    def _draws(self, frame: int) -> np.random.Generator | None:
        """Return the random numbers of a frame's grain, from the start; None for a job without grain."""
        return rng(self._job.seed, "model grain", frame) if self._job.grain else None

    @cached_property
    def _grain(self) -> Grain:
        """The grain of the plate outside the mattes, from a few frames of the shot."""
        around = self.clip.around
        frames = len(self._stored.frames)

        def pair(index: int) -> tuple[Array, Array | None, NDArray[np.bool_]]:
            valid = self._stored.matte("paste", index, around) == 0
            if index + 1 == frames:
                return self._stored.plate(index, around), None, valid
            valid &= self._stored.matte("paste", index + 1, around) == 0
            return self._stored.plate(index, around), self._stored.plate(index + 1, around), valid

        return measure_grain(map(pair, spread_indices(max(1, frames - 1), _GRAIN_SAMPLES)), self.clip.exposure)
