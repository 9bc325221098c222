"""A Cuebot that is a fake: the vendor's own protocol (opencue_proto) over gRPC on loopback, jobs in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from xml.etree import ElementTree

import grpc
from opencue_proto import comment_pb2, cue_pb2, cue_pb2_grpc, job_pb2, job_pb2_grpc


class FakeCuebot(job_pb2_grpc.JobInterfaceServicer, cue_pb2_grpc.CueInterfaceServicer):
    """jobs: name -> Job. said: what happened, in order. refuse: words to refuse a call with, by its name."""

    def __init__(self) -> None:
        self.jobs: dict[str, job_pb2.Job] = {}
        self.specs: list[str] = []
        self.said: list[str] = []
        self.refuse: dict[str, str] = {}
        self.port = 0

    def add(self, name: str, **values: object) -> job_pb2.Job:
        self.jobs[name] = job_pb2.Job(id=f"id-{name}", name=name, **values)
        return self.jobs[name]

    def _maybe_refuse(self, call, context):
        if call in self.refuse:
            context.abort(grpc.StatusCode.INTERNAL, self.refuse[call])

    def GetSystemStats(self, request, context):
        return cue_pb2.CueGetSystemStatsResponse()

    def LaunchSpecAndWait(self, request, context):
        self._maybe_refuse("LaunchSpecAndWait", context)
        self.specs.append(request.spec)
        root = ElementTree.fromstring(request.spec)
        parts = [root.findtext(each) for each in ("show", "shot", "user")]
        name = "-".join(parts) + "_" + root.find("job").get("name")
        paused = root.findtext("job/paused") == "True"
        self.said.append(f"launch {name}" + (" paused" if paused else ""))
        job = self.add(name, is_paused=paused)
        return job_pb2.JobLaunchSpecAndWaitResponse(jobs=job_pb2.JobSeq(jobs=[job]))

    def FindJob(self, request, context):
        if request.name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no job {request.name}")
        return job_pb2.JobFindJobResponse(job=self.jobs[request.name])

    def GetJobs(self, request, context):
        assert request.r.include_finished
        found = [self.jobs[name] for name in request.r.jobs if name in self.jobs]
        return job_pb2.JobGetJobsResponse(jobs=job_pb2.JobSeq(jobs=found))

    def CreateDependencyOnJob(self, request, context):
        self._maybe_refuse("CreateDependencyOnJob", context)
        self.said.append(f"{request.job.name} after {request.on_job.name}")
        return job_pb2.JobCreateDependencyOnJobResponse()

    def Resume(self, request, context):
        self.said.append(f"resume {request.job.name}")
        return job_pb2.JobResumeResponse()

    def AddComment(self, request, context):
        comment: comment_pb2.Comment = request.new_comment
        self.said.append(f"comment {comment.message}")
        return job_pb2.JobAddCommentResponse()


@contextmanager
def fake_cuebot():
    cuebot = FakeCuebot()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        job_pb2_grpc.add_JobInterfaceServicer_to_server(cuebot, server)
        cue_pb2_grpc.add_CueInterfaceServicer_to_server(cuebot, server)
        cuebot.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield cuebot
        finally:
            server.stop(None).wait()
