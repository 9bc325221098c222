"""A client in a process of its own, to be killed: submits the job of a job.json, follows it and fetches its frames.

    python -m tests.torture.client_process JOB_JSON RUNTIME_DIR TRANSPORT

Prints one line of JSON: how the job ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from void_bridge.client import connect
from void_bridge.client.frame_writer import FrameWriter
from void_bridge.config import Config
from void_bridge.job import JobFile
from void_bridge.protocol.messages import FINAL_STATES, JobStatus


def main(job_file: str, runtime_dir: str, transport: str) -> None:
    """Run the client."""
    read = JobFile.read(Path(job_file))
    config = Config(runtime_dir=Path(runtime_dir), autostart=False, transport=transport)
    with connect(config) as client:
        status = client.submit(read.job, id=read.id)
        writer = FrameWriter(client, status.id, None, overwrite=False)
        for event in client.watch(status.id):
            if isinstance(event, JobStatus):
                status = event
                if status.state not in FINAL_STATES:
                    writer.fetch_published(status.frames_done)
        writer.finish()
        print(json.dumps({"state": status.state, "frames": len(writer.paths)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
