"""A worked example: an option of a job, by which an engine would sharpen its patch.

Run it with `python -m examples.option`, and it prints the option wherever it is found. In VOID Bridge the one
declaration stands among the fields of `Job` in `void_bridge/job.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from host_plugins.control.request import ShotRequest, make_job
from host_plugins.control.settings import setting_specs, settings_from
from tools.write_options import options_page
from void_bridge.cli.job_options import add_job_options
from void_bridge.frames import FrameRange
from void_bridge.job import Job, MatteSource
from void_bridge.options import option


@dataclass(frozen=True)
class SharpenedJob(Job):
    """A job with one option more."""

    sharpen: float = option(
        0.0,
        high=2,
        group="Pixels",
        help="sharpen the patch by so much",
        label="sharpen",
        tip="Sharpen what the engine made; 0 leaves it as it is.",
        engines=("void",),
    )


def main() -> None:
    """Print the option's line in the help, its setting in a panel, its value in a job, and its row in the page."""
    parser = argparse.ArgumentParser(prog="void-bridge remove")
    add_job_options(parser, SharpenedJob)
    print(next(line.strip() for line in parser.format_help().splitlines() if line.startswith("  --sharpen")))

    spec = next(spec for spec in setting_specs(job=SharpenedJob) if spec.name == "sharpen")
    print(f"{spec.label}: a {spec.kind} from {spec.low} to {spec.high}. {spec.tip}")

    mattes = {"remove": MatteSource("/shots/roto.####.exr")}
    shot = ShotRequest("/shots/plate.####.exr", FrameRange.parse("1001-1046"), "ACEScg", "ocio://default", mattes)
    job = make_job(settings_from({"sharpen": 0.5}, SharpenedJob), shot, "/shots/clean.####.exr", SharpenedJob)
    print(f"job.sharpen is {job.sharpen}")

    print(next(line for line in options_page(SharpenedJob).splitlines() if "--sharpen" in line))


if __name__ == "__main__":
    main()
