"""Colour space, inverted matte, handles, options and report.

python examples/api_colour_and_options.py plate.####.exr holdout.####.exr clean/ 1003-1006
"""

import sys

from void_bridge import FrameRange, MatteSource, RemovalResult, Sequence, remove


def clean_plate(plate: str, holdout: str, output: str, frames: str) -> RemovalResult:
    """Remove the object that the holdout matte leaves out."""
    return remove(
        Sequence.parse(plate),
        output,
        remove=MatteSource(holdout, channel="A", invert=True),  # 0 is the object
        frames=FrameRange.parse(frames),
        colorspace="Linear Rec.709 (sRGB)",
        exposure=0.5,  # stops; None, the default, measures it
        handles=2,  # frames to read at both ends, where they are on disk
        engine="propagate",
        dilate=1,
        feather=6,
        grain=True,
        confidence=True,  # also write how surely each pixel is known
        overwrite=True,
    )


def main(plate: str, holdout: str, output: str, frames: str) -> None:
    """Remove the object and print what the report says."""
    result = clean_plate(plate, holdout, output, frames)
    print(f"{len(result.frames)} frames: {result.frames}")
    print(f"seen in other frames: {result.report['seen_share']:.0%}")
    for name, value in sorted(result.report.items()):
        print(f"  {name}: {value}")


if __name__ == "__main__":
    main(*sys.argv[1:])
