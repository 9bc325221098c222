"""A measurement of the time that the plug-in takes on Nuke's main thread, in the fake of Nuke. Not a test.

python -m tests.hosts.measure_main_thread [frames] [other nodes]

A job of many frames through a real server with a scripted worker, in a script with many other nodes. Export is left
out: Nuke renders there, under its own bar.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.hosts.fake_nuke import FakeNuke
from tests.hosts.nuke_plugin import started
from tests.hosts.shots_on_disk import HEIGHT, WIDTH
from tests.support.live_server import running, settings
from tests.support.shots import disc, write_matte, write_plate


def main(frames: int, others: int) -> None:
    with tempfile.TemporaryDirectory() as folder, started() as (fake, plugin):
        root = Path(folder)
        os.environ.update(VOID_BRIDGE_RUNTIME_DIR=f"{root}/run", VOID_BRIDGE_AUTOSTART="false")
        node = _comp(fake, plugin, root, range(1001, 1001 + frames), others)
        node["submit"].execute()  # writes the mattes; the next one only hands over
        with running(settings(root, roots=("/",))):
            began = time.perf_counter()
            node["seed"].setValue(1)
            fake.answers.append(True)
            node["submit"].execute()
            submit_ms = (time.perf_counter() - began) * 1000
            fake.threads.log.clear()
            fake.pump(lambda: node["label"].value().startswith("done"), 120)
        calls = sorted(call.seconds * 1000 for call in fake.main_thread_log)
        print(f"{frames} frames, {others} other nodes")  # noqa: T201
        print(f"Submit with nothing to render: {submit_ms:.1f} ms")  # noqa: T201
        where = (len(calls) // 2, int(len(calls) * 0.99), -1)
        median, p99, most = (calls[index] for index in where)
        print(f"{len(calls)} calls on the main thread: median {median:.1f}, p99 {p99:.1f}, most {most:.1f} ms")  # noqa: T201


def _comp(fake: FakeNuke, plugin, root: Path, frames: range, others: int):
    nuke = fake.nuke
    plate = write_plate(root / "plate", frames, (HEIGHT, WIDTH))
    roto = write_matte(root / "roto", frames, disc((HEIGHT, WIDTH), (40, 70), 15))
    nuke.root()["format"].setValue(f"{WIDTH} {HEIGHT} 1 shot")
    reads = [nuke.nodes.Read(file=each.pattern, first=frames[0], last=frames[-1]) for each in (plate, roto)]
    graded = reads[0]
    for _ in range(others):
        graded = nuke.nodes.Grade(inputs=[graded])
    node = plugin.create()
    for index, source in enumerate(reads):
        node.setInput(index, source)
    nuke.scriptSaveAs(str(root / "sh010.nk"))
    return node


if __name__ == "__main__":
    main(*(int(word) for word in (*sys.argv[1:], *("200", "500")[len(sys.argv) - 1 :])))
