"""Submit several shots, and fetch their frames later.

python examples/api_submit_fetch.py shots/ clean/

Each folder in `shots/` is a shot: its plate is plate.####.exr, and its matte is the
alpha of roto.####.exr. `fetch_all` can run in another process, on another day.
"""

import sys
from pathlib import Path

import void_bridge


def submit_all(shots: Path, out: Path) -> int:
    """Submit each shot, and return how many were refused once the server has all files."""
    refused = 0
    for shot in sorted(path for path in shots.iterdir() if path.is_dir()):
        try:
            status = void_bridge.submit(
                shot / "plate.####.exr",
                out / shot.name,
                remove=f"{shot / 'roto.####.exr'}:A",
                engine="propagate",
                priority=20,
            )
        except void_bridge.VoidBridgeError as error:
            print(f"{shot.name} was refused: {error}")
            refused += 1
        else:
            print(f"{shot.name} is job {status.id}, {status.frames} frames")
    return refused


def fetch_all(out: Path) -> int:
    """Watch and fetch the jobs of all shots, and return how many failed."""
    failed = 0
    for job_file in sorted(out.glob("*/job.json")):  # each holds the id of its job
        shot = job_file.parent.name
        try:
            for status in void_bridge.watch(job_file):
                frames = f"{status.frames_done} of {status.frames} frames"
                print(f"{shot} {status.state}, {frames}")
            result = void_bridge.fetch(job_file)
        except void_bridge.VoidBridgeError as error:
            print(f"{shot} failed: {error}")
            failed += 1
        else:
            print(f"{shot} has {result.frames}, the first in {result.paths[0]}")
    return failed


def main(shots: Path, out: Path) -> int:
    """Submit, fetch, and list the server's jobs."""
    refused = submit_all(shots, out)
    failed = fetch_all(out)
    for status in void_bridge.jobs(limit=10):
        print(status.id, status.state, status.engine)
    return min(refused + failed, 1)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
