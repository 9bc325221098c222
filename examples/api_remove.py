"""Remove an object from a shot, with a line of progress.

python examples/api_remove.py plate.####.exr clean/ roto.####.exr:A
"""

import sys

import void_bridge


def show(progress: void_bridge.RemovalProgress) -> None:
    """Print the progress over the last one."""
    steps = f" {progress.done} of {progress.total}" if progress.total else ""
    frames = f"{progress.frames_done} of {progress.frames} frames"
    left = progress.seconds_left
    estimate = "" if left is None else f", {left:.0f} s left"
    print(f"\r{progress.stage + steps}, {frames}{estimate:20}", end="", flush=True)


def main(plate: str, output: str, matte: str) -> int:
    """Remove what the matte shows and print where the frames are."""
    try:
        result = void_bridge.remove(
            plate,
            output,
            remove=matte,
            engine="propagate",
            on_progress=show,
        )
    except void_bridge.VoidBridgeError as error:
        print(f"\n{error}")
        return error.exit_code
    print(f"\n{result.frames} in {result.output}, {result.seconds:.0f} s")
    for warning in result.warnings:
        print(f"warning: {warning}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
