"""One job of the VOID engine: shown frames -> pass 1 -> morph check -> pass 2 -> patches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from gpu_server.engines.base import Array, Context, Generated, ModelClip, Patch
from gpu_server.engines.void.cached_stages import CachedStages
from gpu_server.engines.void.denoise import guidance_scale
from gpu_server.engines.void.fallback import map_device_errors, with_fallback
from gpu_server.engines.void.flow import CancellableFlow, make_flow
from gpu_server.engines.void.frame_interpolation import interpolate_frame
from gpu_server.engines.void.model_inputs import ModelInputs
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.morph.check import check_morphing
from gpu_server.engines.void.planner.plan import MemoryPlan, Request
from gpu_server.engines.void.timeline import make_timeline
from gpu_server.frame_files import FrameFiles
from void_bridge.pixels.box import Box

log = logging.getLogger(__name__)

NOTHING = Box(0, 0, 0, 0)
_CUT_SHOWN = 160


class VoidPipeline:
    """One job: the model runs in `generate`, and the patches are read from disk."""

    def __init__(self, clip: ModelClip, context: Context, session: ModelManager) -> None:
        self._clip, self._context, self._session, self._job = clip, context, session, context.job
        self._timeline = make_timeline(len(clip.frames), clip.rate, self._job.model_fps, self._job.pad)
        self._flow = CancellableFlow(make_flow(self._job.flow), context.check)

    def generate(self) -> Generated:
        """Run the model unless no matte has anything, and return the patches."""
        touched = {index for index in self._clip.wanted if self._is_touched(index)}
        if not touched:
            return Generated(self._patches(_untouched))
        self._warn_of_cut_words()
        made, trip = with_fallback(self._session, self._request(), self._context, self._made)
        return Generated(
            self._patches(lambda index: self._patch(index, made, trip) if index in touched else _untouched(index))
        )

    def _patches(self, patch: Callable[[int], Patch]) -> Iterator[Patch]:
        with map_device_errors():
            for done, index in enumerate(self._clip.wanted):
                self._context.progress("deliver", done, len(self._clip.wanted))
                yield patch(index)

    def _request(self) -> Request:
        passes = (1,) if self._job.passes == "1" or self._session.missing_pass(2) else (1, 2)
        scale = guidance_scale(self._job.guidance, passes[-1])
        return Request(
            canvas=(self._clip.height, self._clip.width),
            frames=len(self._timeline.order),
            passes=passes,
            guided=scale > 1,
            steps=self._job.steps,
            precision=self._job.precision,
            attention=self._job.attention,
        )

    def _warn_of_cut_words(self) -> None:
        if cut := self._session.truncated_text(self._job.prompt):
            told = cut if len(cut) <= _CUT_SHOWN else f"{cut[: _CUT_SHOWN // 2]} ... {cut[-_CUT_SHOWN // 2 :]}"
            self._context.warn(f"the prompt is over 226 tokens; the model does not read its end: {told!r}")

    def _is_touched(self, index: int) -> bool:
        return self._job.full_fill or not self._clip.matte_box("paste", index).empty

    @cached_property
    def _shown(self) -> ModelInputs:
        """Looked at once there is a plan, and once."""
        return ModelInputs(self._clip, self._timeline, self._context.scratch, self._at("look"))

    def _made(self, plan: MemoryPlan) -> tuple[FrameFiles, FrameFiles]:
        """What the model made, and the plate's own trip through its autoencoder."""
        stages = CachedStages(self._session, plan, self._shown, self._context, self._flow)
        scratch = self._context.scratch
        trip = stages.frames(stages.plate_trip(), "trip", scratch / "trip", np.float16)
        latents = stages.pass_one()
        made = stages.frames(latents, "decode 1", scratch / "pass1", np.float32)
        passes = 1
        if self._wants_second(made, trip):
            latents, passes = stages.pass_two(latents, made.get), 2
            made = stages.frames(latents, "decode 2", scratch / "pass2", np.float32)
        self._tell(plan, passes)
        return made, trip

    def _wants_second(self, made: FrameFiles, trip: FrameFiles) -> bool:
        if self._job.passes != "auto":
            return self._job.passes == "2"
        frames = len(self._timeline.sampled)
        check = check_morphing(made.get, trip.get, frames, self._flow, self._at("morph check"))
        worst = [self._clip.frames[self._timeline.sampled[place]] for place in check.worst_frames]
        told = {"score": round(check.score, 3), "threshold": check.threshold, "worst_frames": worst}
        self._context.report["morph"] = told
        log.info("morph check: score %(score)s of %(threshold)s, worst frames %(worst_frames)s", told)
        if check.morphs and (missing := self._session.missing_pass(2)):
            self._context.warn(f"pass 1 morphs (score {check.score:.2f}), and pass 2 cannot follow: {missing}")
            return False
        return check.morphs

    def _patch(self, index: int, made: FrameFiles, trip: FrameFiles) -> Patch:
        before, behind, position = self._timeline.neighbours(index)
        pictures = [self._at_time(files, before, behind, position) for files in (made, trip)]
        whole = Box(0, 0, self._clip.height, self._clip.width)
        made_up = np.zeros(whole.shape, np.float32)
        return Patch(index, whole, pictures[0], made_up, reconstruction=pictures[1])

    def _at_time(self, files: FrameFiles, before: int, behind: int, position: float) -> Array:
        if before == behind:
            return files.get(before)
        return interpolate_frame(files.get(before), files.get(behind), position, self._flow)

    def _tell(self, plan: MemoryPlan, passes: int) -> None:
        report, headers = self._context.report, self._context.headers
        report.update(passes=passes, plan=plan.name, precision=plan.precision, flow=self._flow.name)
        report.update(frames_shown=len(self._timeline.sampled), frames_with_padding=self._shown.count)
        report["loaded"] = list(self._session.loaded)
        headers.update(precision=plan.precision, passes=str(passes), flow=self._flow.name)
        for number in range(1, passes + 1):
            headers[f"weights{number}"] = self._session.identity(f"pass {number}")
        for note in self._session.notes():
            self._context.warn(note)

    def _at(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self._context.progress(stage, done, total)


def _untouched(index: int) -> Patch:
    return Patch(index, NOTHING, np.zeros((0, 0, 3), np.float32), generated=False)
