"""The executable of the fake farm: answers `void-bridge farm submit` and hands every other command to the real one.

It imports little, since a test of a submission starts it once or twice.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from host_plugins.farm.status_files import SubmissionRecord, write_submission
from void_bridge.job import JobFile
from void_bridge.sequence import Sequence

JOB = "job-0123"


def main(folder: str) -> None:
    """Run the command `-m void_bridge.cli WORDS`, as Python would be called."""
    words = sys.argv[3:]
    if words[:2] != ["farm", "submit"]:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    with open(Path(folder) / "calls.jsonl", "a", encoding="utf-8") as calls:
        calls.write(json.dumps(words[2:]) + "\n")
    refusal = Path(folder) / "refusal.json"
    if refusal.exists():
        sys.stdout.write(json.dumps({"state": "failed", "error": json.loads(refusal.read_text("utf-8"))}) + "\n")
        sys.exit(1)
    jobs = [Path(word) for word in words[2:] if not word.startswith("--")]
    farm = next(word.partition("=")[2] for word in words if word.startswith("--to="))
    for job in jobs:
        _note(job, farm)
        if (Path(folder) / "makes_frames").exists():
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "void_bridge.cli", "remove", str(job)])
    outputs = [JobFile.read(job).job.output for job in jobs]
    answer = {"job": "", "state": "queued", "farm": farm, "farm_job": JOB, "output": outputs[0], "outputs": outputs}
    sys.stdout.write(json.dumps(answer) + "\n")


def _note(job_file: Path, farm: str) -> None:
    """Write the record of a submission, as the real command does, so that the job can be followed."""
    job = JobFile.read(job_file).job
    folder = Path(Sequence.parse(job.output).folder)
    write_submission(
        folder, SubmissionRecord(farm, JOB, "fake", str(folder / "bundle"), folder.name, (str(job.frames),))
    )
