"""Everything that a job leaves behind, made in one process: run twice, under other clocks, to be compared.

python -m tests.support.dated FOLDER   with SHIFT_DAYS, TZ, LC_ALL, SOURCE_DATE_EPOCH, PYTHONHASHSEED as wanted

The worker and its engine run in a process of their own, as always. `SHIFT_DAYS` moves `time.time` of both.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from host_plugins.farm.command import COMMAND as FARM
from tests.support import golden
from tests.support.commands import run_command
from tests.support.live_server import eventually, running, settings
from void_bridge.cli import compare, quadmask
from void_bridge.client import connect
from void_bridge.config import Config
from void_bridge.pixels.compare import ReviewView, write_contact_sheet

SITE = """
import os, time
_shift, _real = float(os.environ.get("SHIFT_DAYS", 0)) * 86400, time.time
time.time = lambda: _real() + _shift
"""


def main(folder: Path) -> None:
    """Make a result, a comparison, a contact sheet, quadmasks and previews, and a farm bundle below `made`."""
    made = folder / "made"
    plate, mattes = golden.write_shot(golden.made_shot(), made / "shot")
    job = golden.golden_job("propagate", plate, mattes).replace(
        output=str(made / "out/clean.####.exr"), prompt="Straße ohne Auto, 道路", confidence=True, full_fill=True
    )
    server = settings(folder / "server", worker_command=(sys.executable, "-m", "gpu_server.worker"), roots=("/",))
    config = Config(runtime_dir=server.runtime_dir, spool=server.spool, autostart=False)
    with running(server), connect(config) as client:
        id = client.submit(job, id="same-number").id
        eventually(lambda: client.status(id).state == "done", 100)
        client.fetch(id)
    told_job = made / "out/job.json"
    roles = ("--remove", f"{mattes}:remove", "--affected", f"{mattes}:affected", "--colorspace", "ACEScg")
    for preview in ("look.png", "look.mp4"):
        out = made / preview.replace(".", "-") / "quad.####.exr"
        run_command(quadmask.COMMAND, plate, "-o", out, *roles, "--canvas", "64x48", "--preview", made / preview)
    run_command(compare.COMMAND, told_job, "-o", made / "wipe.mp4")
    write_contact_sheet(job, made / "sheet.png", ReviewView())
    run_command(FARM, "bundle", told_job, "-o", made / "bundle", "--comment", "Straße")
    (made / "clock.txt").write_text(f"{int(time.time()) // 86400} {time.strftime('%Z')}")


if __name__ == "__main__":
    assert time.time.__module__ != "time", "the clock was not moved: is sitecustomize found?"
    os.umask(0o022)
    main(Path(sys.argv[1]))
