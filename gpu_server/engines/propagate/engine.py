"""The propagate engine: it looks for every hidden pixel in the other frames. It needs no weights and no GPU."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from threading import Event
from typing import ClassVar, TypeVar

import cv2
import numpy as np

from gpu_server.engines.base import Clip, Context, Engine, EngineStage, Generated, Patch
from gpu_server.engines.propagate.camera import Camera, solve_camera
from gpu_server.engines.propagate.compose import Composer, FilledHole, SynthesisedArea
from gpu_server.engines.propagate.flow import resized_grid, source_places
from gpu_server.engines.propagate.frame_cache import FrameCache
from gpu_server.engines.propagate.gather import resample_lanczos
from gpu_server.engines.propagate.moving_objects import find_moving_objects
from gpu_server.engines.propagate.sources import choose_sources, find_unseen
from gpu_server.engines.propagate.survey import PropagateStage, Survey, make_survey, scale_points
from gpu_server.engines.propagate.unseen import synthesise_unseen
from void_bridge.errors import Cancelled
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import encode, preview
from void_bridge.pixels.grain import Grain, GrainSampler

T = TypeVar("T")
R = TypeVar("R")

_STORE_BYTES = 420_000_000
_FRAME_BYTES_IN_FLIGHT = 300_000_000
_POLL_S = 0.25
_PREVIEW_EVERY = 8


class PropagateEngine(Engine):
    """An engine that fills the hole with real pixels from other frames, and synthesises pixels that no frame shows."""

    name: ClassVar[str] = "propagate"
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "fills with real pixels from other frames of the shot; runs on any CPU without weights"
    stages: ClassVar[type[EngineStage]] = PropagateStage

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Return at once; all work is done while the patches are taken."""
        return Generated(self._patches(clip, context))

    def _patches(self, clip: Clip, context: Context) -> Iterator[Patch]:
        with _one_thread_per_call(), closing(_Pool(clip)) as pool:
            yield from _Run(clip, context, pool).patches()


class _Run:
    """One job of the engine."""

    def __init__(self, clip: Clip, context: Context, pool: _Pool) -> None:
        self.clip, self.context, self.pool = clip, context, pool

    def patches(self) -> Iterator[Patch]:
        """Yield the patches: survey the shot, find sources, synthesise what none shows, and fill frame by frame."""
        survey = make_survey(self.clip, self.context)
        if all(survey.boxes[i].empty for i in self.clip.wanted):
            self.context.report.update(seen_share=0.0, synthesised_share=0.0)
            yield from map(Patch.unchanged, self.clip.wanted)
            return
        frames = range(survey.frames)
        camera = solve_camera(survey, self.context)
        movers = self._each(PropagateStage.MOVING_OBJECTS, partial(find_moving_objects, survey, camera), frames)
        survey = survey.without(list(movers))
        camera = replace(camera, survey=survey)
        sources = list(self._each(PropagateStage.SOURCES, partial(choose_sources, survey, camera), frames))
        unseen = list(self._each(PropagateStage.HIDDEN, lambda i: find_unseen(survey, camera, i, sources[i]), frames))
        self._report(survey, camera, sources, unseen)
        store = FrameCache(self.clip, _STORE_BYTES)
        seed = self.context.job.seed
        grain = measure_grain(self.clip, survey, camera, store, self.context)
        composer = Composer(self.clip, survey, camera, store, grain, None, self.pool.check)
        synthesised = self._synthesise(composer, unseen, sources, seed)
        if self.context.job.grain:
            composer = replace(composer, grain_seed=seed)
        yield from self._fill(composer, sources, synthesised)

    def _synthesise(
        self, composer: Composer, unseen: Sequence[Mask], sources: Sequence[list[int]], seed: int
    ) -> list[SynthesisedArea]:
        """Synthesise the areas that no frame shows, with previews."""
        areas: list[SynthesisedArea] = []
        self.context.progress(PropagateStage.SYNTHESISE, 0, 1)
        for area in self._in_pool(lambda: synthesise_unseen(composer, unseen, sources, seed)):
            areas.append(area)
            self.context.preview(area.frame, preview(area.picture.astype(np.float32)))
        self.context.progress(PropagateStage.SYNTHESISE, 1, 1)
        self.context.report["synthesised_frames"] = len(areas)
        return areas

    def _in_pool(self, make: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Run a generator in the pool, item by item, so that a cancel takes effect while it works."""
        items = make()
        end = object()
        while (item := self.pool.result(self.pool.submit(next, items, end), self.context)) is not end:
            yield item  # type: ignore[misc]

    def _fill(
        self, composer: Composer, sources: Sequence[list[int]], synthesised: Sequence[SynthesisedArea]
    ) -> Iterator[Patch]:
        """Yield a patch for each wanted frame."""

        def fill(index: int) -> FilledHole | None:
            if composer.survey.boxes[index].empty:
                return None
            return composer.fill(index, sources[index], synthesised)

        filled_holes = self._each(PropagateStage.FILL, fill, self.clip.wanted)
        for done, (index, filled) in enumerate(zip(self.clip.wanted, filled_holes, strict=True)):
            if filled is None:
                yield Patch.unchanged(index)
                continue
            if done % _PREVIEW_EVERY == 0:
                self.context.preview(index, preview(encode(filled.rgb, self.clip.exposure)))
            yield Patch(index, filled.box, filled.rgb, filled.seen)

    def _each(self, stage: PropagateStage, work: Callable[[int], R], indices: Sequence[int]) -> Iterator[R]:
        """Apply `work` to every index and yield the results in order; a few are in work at the same time."""
        running: deque[Future[R]] = deque()
        left = iter(indices)
        for done in range(len(indices)):
            while len(running) < self.pool.workers + 1 and (index := next(left, None)) is not None:
                running.append(self.pool.submit(work, index))
            self.context.progress(stage, done, len(indices))
            yield self.pool.result(running.popleft(), self.context)
        self.context.progress(stage, len(indices), len(indices))

    def _report(self, survey: Survey, camera: Camera, sources: Sequence[list[int]], unseen: Sequence[Mask]) -> None:
        """Report the camera and how much of the hole other frames show."""
        hidden = max(1, sum(int(survey.hole(i).sum()) for i in range(survey.frames)))
        unseen_share = sum(int(mask.sum()) for mask in unseen) / hidden
        used = [len(chosen) for chosen, box in zip(sources, survey.boxes, strict=True) if not box.empty]
        self.context.report.update(
            camera=camera.kind,
            seen_share=round(1 - unseen_share, 4),
            synthesised_share=round(unseen_share, 4),
            sources_per_frame=round(float(np.mean(used)), 1) if used else 0.0,
        )


def measure_grain(clip: Clip, survey: Survey, camera: Camera, store: FrameCache, context: Context) -> Grain:
    """Measure the grain of the plate from up to six pairs of neighbours spread over the shot."""
    sampler = GrainSampler()
    pairs = np.unique(np.linspace(0, survey.frames - 2, 6).astype(int)) if survey.frames > 1 else []
    for i in pairs:
        context.check()
        motion = camera.rough(int(i), int(i) + 1)
        exact = np.array_equal(motion, np.eye(3))
        here, there = store.frame(int(i)), store.frame(int(i) + 1)
        for window in _grain_windows(clip, survey, int(i)):
            grid = resized_grid(*window.slices, survey.to_proxy)
            x, y = source_places(grid, motion, None, window)
            valid = _nearest(~survey.invalid(i), grid[..., 0], grid[..., 1]) & _nearest(~survey.invalid(i + 1), x, y)
            places = scale_points(survey.to_plate, x, y)
            moved = there[window.slices].astype(np.float32) if exact else resample_lanczos(there, *places)
            sampler.add(here[window.slices].astype(np.float32), moved, valid, exact)
    return sampler.result()


def _grain_windows(clip: Clip, survey: Survey, index: int) -> list[Box]:
    size = 128
    across, down = survey.scale
    found = []
    for y in range(8, clip.height - size - 8, size):
        for x in range(8, clip.width - size - 8, size):
            part = survey.invalid(index)[
                int(y * down) : int((y + size) * down), int(x * across) : int((x + size) * across)
            ]
            if part.mean() < 0.3:
                found.append(Box(y, x, y + size, x + size))
    return found[:: max(1, len(found) // 14)]


def _nearest(mask: Mask, x: Array, y: Array) -> Mask:
    return cv2.remap(mask.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderValue=0) > 0


class _Pool:
    """A thread pool whose work stops at its next safe point once the job has ended."""

    def __init__(self, clip: Clip) -> None:
        by_memory = _FRAME_BYTES_IN_FLIGHT // (clip.height * clip.width * 16)
        self.workers = int(np.clip(by_memory, 2, min(8, os.cpu_count() or 2)))
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="propagate")
        self._ended = Event()

    def submit(self, work: Callable[..., R], *arguments: object) -> Future[R]:
        """Start some work."""
        return self._threads.submit(work, *arguments)

    def check(self) -> None:
        """Raise Cancelled once the job has ended."""
        if self._ended.is_set():
            raise Cancelled("the job has ended")

    def result(self, future: Future[R], context: Context) -> R:
        """Wait for a result, and raise Cancelled meanwhile if the job is cancelled."""
        while True:
            context.check()
            try:
                return future.result(timeout=_POLL_S)
            except StillRunning:
                if future.done():
                    raise

    def close(self) -> None:
        """Stop the threads and wait for them."""
        self._ended.set()
        self._threads.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_per_call() -> Iterator[None]:
    """Turn off OpenCV's own threads, whose number changes how work is split, and with it the results."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
