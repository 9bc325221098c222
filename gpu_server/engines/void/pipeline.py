"""The pipeline of one job: inputs -> pass 1 -> morph check -> pass 2 -> patches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cached_property, partial

import numpy as np

from gpu_server.engines.base import Array, Context, Generated, ModelClip, Patch
from gpu_server.engines.void.cached_stages import CachedStages
from gpu_server.engines.void.fallback import with_fallback
from gpu_server.engines.void.flow import CancellableFlow, make_flow
from gpu_server.engines.void.frame_interpolation import interpolate_frame
from gpu_server.engines.void.model_inputs import ModelInputs
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.morph.check import check_morphing
from gpu_server.engines.void.planner.plan import MemoryPlan, PlanRequest, guidance_scale
from gpu_server.engines.void.stages import VoidStage
from gpu_server.engines.void.timeline import make_timeline
from gpu_server.frame_files import FrameFiles
from void_bridge.pixels.box import Box

log = logging.getLogger(__name__)

FrameReader = Callable[[int], Array]
"""A function that returns the frame at an index of the clip."""

_LONGEST_QUOTE = 160


class VoidPipeline:
    """One job on the model.

    Args:
        clip: the shot on the model's canvas.
        context: of the job.
        models: the loaded models.
    """

    def __init__(self, clip: ModelClip, context: Context, models: ModelManager) -> None:
        self._clip, self._context, self._models, self._job = clip, context, models, context.job
        self._timeline = make_timeline(len(clip.frames), clip.rate, self._job.model_fps, self._job.pad)
        self._flow = CancellableFlow(make_flow(self._job.flow), context.check)

    def generate(self) -> Generated:
        """Run the model if any wanted frame has a matte, and return the patches.

        Raises:
            Cancelled: if the job was cancelled.
            OutOfMemory: if the smallest memory plan takes too much.
            NotFinite: if the model gave NaN or infinity, in a wider precision too.
        """
        self._models.begin_job()
        clip, full_fill = self._clip, self._job.full_fill
        masked = {index for index in clip.wanted if full_fill or not clip.matte_box("paste", index).empty}
        readers: list[FrameReader] = []
        if masked:
            self._warn_of_truncated_prompt()
            files = with_fallback(self._models, self._request(), self._context, self._run)
            readers = [self._at_clip_rate(each, masked, f"interpolated{i}") for i, each in enumerate(files)]
        return Generated(self._patches(masked, readers))

    def _warn_of_truncated_prompt(self) -> None:
        if text := self._models.truncated_text(self._job.prompt):
            if len(text) > _LONGEST_QUOTE:
                text = f"{text[: _LONGEST_QUOTE // 2]} ... {text[-_LONGEST_QUOTE // 2 :]}"
            self._context.warn(f"the prompt is longer than 226 tokens; the model ignores its end: {text!r}")

    def _request(self) -> PlanRequest:
        passes = (1,) if self._job.passes == "1" or self._models.pass_problem(2) else (1, 2)
        return PlanRequest(
            canvas=(self._clip.height, self._clip.width),
            frames=len(self._timeline.order),
            passes=passes,
            guided=guidance_scale(self._job.guidance, passes[-1]) > 1,
            steps=self._job.steps,
            precision=self._job.precision,
            attention=self._job.attention,
        )

    @cached_property
    def _inputs(self) -> ModelInputs:
        """The model's inputs, read once there is a memory plan, and only once if the plan changes."""
        on_frame = partial(self._context.progress, VoidStage.INPUTS)
        return ModelInputs(self._clip, self._timeline, self._context.scratch, on_frame)

    def _run(self, plan: MemoryPlan) -> tuple[FrameFiles, FrameFiles]:
        """Run the passes on a plan.

        Returns:
            The generated frames, and the reconstruction of the plate by the autoencoder; both by position in
            `timeline.sampled`, in the model domain.
        """
        stages = CachedStages(self._models, plan, self._inputs, self._context, self._flow)
        scratch = self._context.scratch
        reconstruction = stages.decode(
            stages.plate_latents(), VoidStage.RECONSTRUCTION, scratch / "reconstruction", np.float16
        )
        latents, passes = stages.pass_1(), 1
        generated = stages.decode(latents, VoidStage.DECODE_1, scratch / "pass1", np.float32)
        if self._needs_pass_2(generated, reconstruction):
            latents, passes = stages.pass_2(latents, generated.get), 2
            generated = stages.decode(latents, VoidStage.DECODE_2, scratch / "pass2", np.float32)
        self._report(plan, passes)
        return generated, reconstruction

    def _needs_pass_2(self, generated: FrameFiles, reconstruction: FrameFiles) -> bool:
        if self._job.passes != "auto":
            return self._job.passes == "2"
        sampled, on_step = self._timeline.sampled, partial(self._context.progress, VoidStage.MORPH_CHECK)
        check = check_morphing(generated.get, reconstruction.get, len(sampled), self._flow, on_step)
        worst = [self._clip.frames[sampled[position]] for position in check.worst_frames]
        facts = {"score": round(check.score, 3), "threshold": check.threshold, "worst_frames": worst}
        self._context.report["morph"] = facts
        log.info("morph check: score %(score)s of %(threshold)s, worst frames %(worst_frames)s", facts)
        if check.morphs and (problem := self._models.pass_problem(2)):
            self._context.warn(
                f"pass 1 changes the shape of objects (score {check.score:.2f}), and pass 2 cannot run: {problem}"
            )
            return False
        return check.morphs

    def _report(self, plan: MemoryPlan, passes: int) -> None:
        report, headers = self._context.report, self._context.headers
        report.update(passes=passes, plan=plan.name, precision=plan.precision, flow=self._flow.name)
        report.update(frames_shown=len(self._timeline.sampled), frames_with_padding=self._inputs.count)
        report["loaded"] = list(self._models.loaded)
        headers.update(precision=plan.precision, passes=str(passes), flow=self._flow.name)
        for number in range(1, passes + 1):
            headers[f"weights{number}"] = self._models.pass_hash(number)
        self._context.warn(*self._models.notes())

    def _at_clip_rate(self, files: FrameFiles, indices: set[int], folder: str) -> FrameReader:
        """Return a reader of frames by index of the clip, which interpolates between the sampled frames.

        A flow that uses the device runs now, for the frames of `indices`, because the device is not ours once patches
        are taken; the interpolated frames are kept in `folder`.
        """

        def frame(index: int) -> Array:
            before, after, position = self._timeline.neighbours(index)
            if before == after:
                return files.get(before)
            return interpolate_frame(files.get(before), files.get(after), position, self._flow)

        between = sorted(indices.difference(self._timeline.sampled)) if self._flow.uses_device else []
        if not between:
            return frame
        stored = FrameFiles(self._context.scratch / folder, self._clip.height, self._clip.width, np.float32)
        for done, index in enumerate(between):
            self._context.progress(VoidStage.INTERPOLATE, done, len(between))
            stored.put(index, frame(index))
        return lambda index: stored.get(index) if index in between else frame(index)

    def _patches(self, masked: set[int], readers: list[FrameReader]) -> Iterator[Patch]:
        """Yield the patches of all wanted frames; those without a matte leave the plate as it is.

        Args:
            masked: the frames with a matte.
            readers: of the generated frames and of the plate's reconstruction.
        """
        whole = Box(0, 0, self._clip.height, self._clip.width)
        for done, index in enumerate(self._clip.wanted):
            self._context.progress(VoidStage.DELIVER, done, len(self._clip.wanted))
            if index in masked:
                generated, reconstruction = (read(index) for read in readers)
                confidence = np.zeros(whole.shape, np.float32)
                yield Patch(index, whole, generated, confidence, reconstruction=reconstruction)
            else:
                yield Patch.unchanged(index)
