"""Submit several shots, and fetch their frames later, also from another process.

python examples/api_submit_fetch.py shots/ clean/

Each folder in `shots/` is a shot: its plate is plate.####.exr, its matte the alpha of roto.####.exr.
"""

import sys
from pathlib import Path

import void_bridge


def submit_all(shots: Path, out: Path) -> None:
    """Submit each shot and return when the server has all files."""
    for shot in sorted(folder for folder in shots.iterdir() if folder.is_dir()):
        plate, matte = shot / "plate.####.exr", f"{shot / 'roto.####.exr'}:A"
        status = void_bridge.submit(plate, out / shot.name, remove=matte, engine="propagate", priority=20)
        print(f"{shot.name} is job {status.id}, {status.frames} frames")


def fetch_all(out: Path) -> int:
    """Watch and fetch the jobs of all shots, and return the number of those that failed."""
    failed = 0
    for job_file in sorted(out.glob("*/job.json")):  # submitted jobs, by whichever process
        for status in void_bridge.watch(job_file):
            print(f"{job_file.parent.name} {status.state}, {status.frames_done} of {status.frames} frames")
        try:
            result = void_bridge.fetch(job_file)
        except void_bridge.VoidBridgeError as error:
            print(f"{job_file.parent.name} failed: {error}")
            failed += 1
        else:
            print(f"{job_file.parent.name} has {result.frames}, the first in {result.paths[0]}")
    return failed


def main(shots: Path, out: Path) -> int:
    """Submit, fetch, and list the server's jobs."""
    submit_all(shots, out)
    failed = fetch_all(out)
    for status in void_bridge.jobs(limit=10):
        print(status.id, status.state, status.engine)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
