"""A model's patches on the plate: each with its neighbours, so that what is decided is steady in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

import numpy as np
import psutil
from numpy.typing import NDArray

from gpu_server.engines.base import Patch, rng
from gpu_server.worker.bounded_map import bounded_map
from gpu_server.worker.model_clip import FramedClip
from void_bridge.job import Job
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

Array = NDArray[np.float32]

NOTHING = Box(0, 0, 0, 0)

_GRAIN_SAMPLES = 4
_AROUND_PX = 8  # of the plate, beyond what is pasted
_BYTES_A_PIXEL = 100  # of the crop, while a frame is made
_SHARE_OF_MEMORY = 8


class PlateIntegrator:
    """Patches of a model on the plate: matched, enlarged, with the plate's detail and grain."""

    def __init__(self, clip: FramedClip, job: Job, pool: ThreadPoolExecutor, threads: int) -> None:
        self.clip, self._stored, self._job = clip, clip.stored, job
        self._pool, self._threads = pool, threads
        self._cuts: dict[int, CutOff] = {}

    def patches(self, made: Iterable[Patch], deliver: Collection[int]) -> Iterator[Patch]:
        """Patches as linear pixels of the plate.

        Args:
            made: of every frame that the clip wants, in order, in the model domain, over the whole canvas.
            deliver: stored indices; of other frames nothing is made, their neighbours look at them all the same.
        """
        seen = bounded_map(self._pool, self._threads + 1, lambda patch: (patch, self._look(patch)), made)
        return bounded_map(self._pool, self._at_once, lambda item: self._on_plate(*item), self._windows(seen, deliver))

    def _windows(
        self, seen: Iterable[tuple[Patch, CanvasMeasurement | None]], deliver: Collection[int]
    ) -> Iterator[tuple[Sequence[tuple[Patch, CanvasMeasurement | None]], int]]:
        for window, at in with_neighbours(seen):
            patch, own = window[at]
            if self.clip.stored_index(patch.index) in deliver:
                if own is not None:
                    self._measure()
                yield window, at

    def _measure(self) -> None:
        """What belongs to the whole shot, once, before several threads ask for it."""
        _ = self._grain, self.clip.shot_ceiling

    @property
    def warnings(self) -> tuple[str, ...]:
        warning = cut_off_warning(dict(sorted(self._cuts.items())))
        return (warning,) if warning else ()

    @property
    def _at_once(self) -> int:
        """Frames that are made at the same time, by the memory that there is."""
        frame = _BYTES_A_PIXEL * max(box.height * box.width for box in map(self.clip.inside, self.clip.wanted))
        return max(1, min(self._threads, psutil.virtual_memory().available // _SHARE_OF_MEMORY // frame))

    def _on_plate(self, window: Sequence[tuple[Patch, CanvasMeasurement | None]], at: int) -> Patch:
        patch, own = window[at]
        if own is None or self._needed(patch.index).empty:
            return Patch(self.clip.stored_index(patch.index), NOTHING, patch.rgb[:0, :0], generated=False)
        measured = [one for _, one in window if one is not None]
        return self._finished(patch, measured, sum(one is not None for _, one in window[:at]))

    def _look(self, patch: Patch) -> CanvasMeasurement | None:
        if not patch.generated:
            return None
        index = patch.index
        quadmask = self.clip.quadmask(index)
        framing = self.clip.framings[index]
        scale = framing.crop.height / framing.canvas[0], framing.crop.width / framing.canvas[1]
        corner = framing.crop.y0 / scale[0], framing.crop.x0 / scale[1]
        seen = measure_on_canvas(
            patch.rgb, patch.reconstruction, self.clip.plate(index), quadmask, self.clip.linear, self.clip.code, corner
        )
        if seen.change is not None:
            cut = find_cut_off(seen.change, self.clip.matte("paste", index))
            self._cuts[self.clip.frames[index]] = dataclasses.replace(cut, box=self._box_on_plate(cut.box, index))
        return seen

    def _box_on_plate(self, box: Box, index: int) -> Box:
        """A box of the canvas in pixels of the plate's raster."""
        framing, inside = self.clip.framings[index], self.clip.inside(index)
        y, x = framing.crop.height / framing.canvas[0], framing.crop.width / framing.canvas[1]
        top, left = inside.y0 - (framing.inside.y0 - framing.crop.y0), inside.x0 - (framing.inside.x0 - framing.crop.x0)
        scaled = Box(int(box.y0 * y), int(box.x0 * x), int(np.ceil(box.y1 * y)), int(np.ceil(box.x1 * x)))
        return scaled.moved(top, left)

    def _finished(self, patch: Patch, measured: Sequence[CanvasMeasurement], at: int) -> Patch:
        index, frame = self.clip.stored_index(patch.index), self.clip.frames[patch.index]
        there = self._needed(patch.index)
        box = there.relative_to(self.clip.inside(patch.index))
        plate = PlateFrame(
            self._stored.plate(index, there),
            self.clip.ceiling(patch.index)[box.slices],
            partial(self.clip.framings[patch.index].from_canvas, box=box),
            self.clip.linear,
            self.clip.code,
            self._grain,
            self.clip.exposure,
        )
        done = integrate(measured, at, plate, self._draws(frame))
        full = self._full(done, plate, frame) if self._job.full_fill else None
        return Patch(index, there, done.rgb, self._confidence(patch, plate.enlarge, done), full=full)

    def _full(self, done: IntegratedFrame, plate: PlateFrame, frame: int) -> Array:
        draws = self._draws(frame)
        return done.generated if draws is None else make_full_fill(done, plate, draws)

    def _needed(self, index: int) -> Box:
        """Of the plate's raster: what is pasted and a little around; for the unmasked fill the whole crop."""
        inside = self.clip.inside(index)
        if self._job.full_fill:
            return inside
        pasted = self._stored.matte_box("paste", self.clip.stored_index(index)) & inside
        return NOTHING if pasted.empty else pasted.grown(_AROUND_PX) & inside

    def _confidence(self, patch: Patch, enlarge: Resize, done: IntegratedFrame) -> Array:
        """The plate's own pixels are seen; the model's have what the engine says of them."""
        if patch.confidence is None:
            return done.plate_share
        return np.maximum(done.plate_share, np.clip(enlarge(patch.confidence), 0, 1))

    def _draws(self, frame: int) -> np.random.Generator | None:
        return rng(self._job.seed, "model grain", frame) if self._job.grain else None

    @cached_property
    def _grain(self) -> Grain:
        """Of the plate where nothing is drawn, from a few frames of the shot."""
        around = self.clip.around
        frames = len(self._stored.frames)
        sampled = np.unique(np.linspace(0, max(0, frames - 2), _GRAIN_SAMPLES).round().astype(int))

        def pair(index: int) -> tuple[Array, Array | None, NDArray[np.bool_]]:
            valid = self._stored.matte("paste", index, around) == 0
            if index + 1 == frames:
                return self._stored.plate(index, around), None, valid
            valid &= self._stored.matte("paste", index + 1, around) == 0
            return self._stored.plate(index, around), self._stored.plate(index + 1, around), valid

        return measure_grain((pair(int(index)) for index in sampled), self.clip.exposure)
