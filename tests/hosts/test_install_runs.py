"""Installed plug-ins under the Pythons that hosts run, with real wheels and a real server.

The Pythons are plain ones from PATH, not those of a host. They run with `-I`, a clean environment, and without the
packages that a host need not have.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from host_plugins.compiled import platform_name
from host_plugins.install.command import COMMAND
from host_plugins.install.wheels import PLATFORMS
from tests.support.commands import run_command
from tests.support.host_pythons import HOST_PYTHONS, host_python, needed_python, real_wheels
from tests.support.live_server import eventually
from tests.support.shots import COLOUR, disc, write_matte, write_plate
from void_bridge.connection import connection_path, installation_id, read_connection
from void_bridge.errors import NoServer
from void_bridge.frames import FrameRange
from void_bridge.job import Job, JobFile, MatteSource
from void_bridge.pixels.exr import read_frame

pytestmark = pytest.mark.slow

FRAMES = range(1001, 1003)
LONG = os.environ.get("VOID_BRIDGE_LONG_TESTS") == "1"
BUNDLED = ("3.9", "3.10", "3.11", "3.12", "3.13") if LONG else ("3.9", "3.11")
BUNDLED_FOR = tuple(PLATFORMS) if LONG else ("linux-x86_64", "windows-x86_64")
# The first bytes of libraries: ELF, PE, and Mach-O for one processor or for several.
STARTS = {
    "linux-x86_64": (b"\x7fELF",),
    "windows-x86_64": (b"MZ",),
    "macos-universal2": (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"),
}

# The start of a host: init.py is run with its file name, and packages that a host need not have cannot be imported.
# `nuke` is an empty module, which is enough to import the plug-in; tests/hosts/fake_nuke is for its functions.
HOST = """
import importlib, json, runpy, sys, types
blocked = {"numpy", "OpenEXR", "cv2", "rich", "gpu_server", "torch", "pip", "setuptools"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name + " is blocked here")
sys.meta_path.insert(0, Blocker())
home, own, job, *modules = json.loads(sys.argv[1])
sys.path[:0] = own
sys.modules["nuke"] = types.ModuleType("nuke")
before = list(sys.path)
for _ in range(2):
    runpy.run_path(home + "/init.py")
report = {"added": [path for path in sys.path if path not in before], "kept": sys.path[: len(before)] == before}
report["modules"] = {name: importlib.import_module(name).__file__ for name in modules}
if job:
    from pathlib import Path
    from void_bridge.client import connect
    from void_bridge.config import load
    from void_bridge.job import JobFile
    with connect(load().config) as client:
        report["server"] = client.server.installation
        id = client.submit(JobFile.read(Path(job)).job, transport="inline").id
        *_, last = client.watch(id)
        report["state"], report["error"] = last.state, last.error and last.error.message
        report["frames"] = [str(path) for path in client.fetch(id)]
    import void_bridge
    again = void_bridge.remove(job)
    report["again"] = [again.id == id, again.state, str(again.frames)]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    targets = tuple((version, platform_name()) for version in HOST_PYTHONS if host_python(version))
    return real_wheels(tmp_path_factory.mktemp("wheels"), targets)


def installed(host, wheels, folder):
    """Install a plug-in for every Python on this machine, and return its folder."""
    pythons = [version for version in HOST_PYTHONS if host_python(version)]
    assert run_command(COMMAND, host, "--find-links", wheels, "--python", *pythons, "--dest", folder) == 0
    return folder / "void_bridge"


@pytest.fixture(scope="module")
def nuke_plugin(wheels, tmp_path_factory):
    return installed("nuke", wheels, tmp_path_factory.mktemp("nuke"))


@pytest.fixture(scope="module")
def resolve_plugin(wheels, tmp_path_factory):
    return installed("resolve", wheels, tmp_path_factory.mktemp("resolve"))


@pytest.fixture
def environment(tmp_path):
    """Yield the environment of a host's process. The server that it starts ends with the test."""
    folders = {"RUNTIME_DIR": "run", "SPOOL": "spool", "CONFIG": "none.toml", "SITE_CONFIG": "none.toml"}
    yield {"HOME": str(tmp_path), **{f"VOID_BRIDGE_{name}": str(tmp_path / value) for name, value in folders.items()}}
    try:
        found = read_connection(connection_path(tmp_path / "run"))
    except NoServer:
        return
    os.kill(found.server_pid, signal.SIGTERM)
    eventually(lambda: not connection_path(tmp_path / "run").exists())


def as_host(python, environment, plugin, *modules, own=(), job=""):
    arguments = json.dumps([str(plugin), [str(folder) for folder in own], str(job), *modules])
    command = [python, "-I", "-W", "error", "-c", HOST, arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def modules_of(plugin, *packages):
    """Return the names of all modules of these packages in a plug-in's folder."""
    python = plugin / "python"
    paths = (path for package in packages for path in sorted((python / package).rglob("*.py")))
    return [".".join(path.relative_to(python).with_suffix("").parts).replace(".__init__", "") for path in paths]


@pytest.mark.parametrize("version", HOST_PYTHONS)
def test_a_host_runs_a_job_on_a_server_of_the_recorded_python(version, nuke_plugin, environment, tmp_path):
    python = needed_python(version)
    plate = write_plate(tmp_path, FRAMES)
    roto = write_matte(tmp_path, FRAMES, disc((48, 64), (24, 32), 8))
    job = Job(
        plate=str(plate),
        frames=FrameRange(FRAMES),
        output=str(tmp_path / "clean/clean.####.exr"),
        colour=COLOUR,
        remove=MatteSource(str(roto), "A"),
        engine="passthrough",
    )
    JobFile(job).write(tmp_path / "asked.json")
    job_file = tmp_path / "asked.json"
    report, errors = as_host(python, environment, nuke_plugin, "void_bridge_nuke", own=[nuke_plugin], job=job_file)
    assert report["modules"] == {"void_bridge_nuke": str(nuke_plugin / "void_bridge_nuke.py")}
    assert (report["server"], report["state"], report["error"], errors) == (installation_id(), "done", None, "")
    assert [read_frame(Path(path)).picture.data_window.shape for path in report["frames"]] == [(48, 64)] * len(FRAMES)
    assert report["again"] == [True, "done", str(FrameRange(FRAMES))]
    server = psutil.Process(read_connection(connection_path(tmp_path / "run")).server_pid)
    assert server.cmdline()[0] == sys.executable


@pytest.mark.parametrize("version", HOST_PYTHONS)
def test_modules_load_from_the_plug_in_whose_folders_are_last_on_the_path(version, nuke_plugin, environment):
    python = needed_python(version)
    names = modules_of(nuke_plugin, "void_bridge", "host_plugins/control", "host_plugins/nuke")
    report, errors = as_host(python, environment, nuke_plugin, *names, "zmq", "msgpack", "fileseq")
    compiled = nuke_plugin / f"compiled/cp{version.replace('.', '')}-{platform_name().replace('-', '_')}"
    assert report["added"] == [str(nuke_plugin / "python"), str(compiled)] and report["kept"] and errors == ""
    for name, path in report["modules"].items():
        assert Path(compiled if name in ("zmq", "msgpack") else nuke_plugin / "python") in Path(path).parents, name
    assert {"void_bridge.client.client", "host_plugins.nuke.node"} <= set(names) and len(names) > 30


@pytest.mark.parametrize("version", HOST_PYTHONS)
def test_resolves_modules_load_from_the_plug_in(version, resolve_plugin, environment, tmp_path):
    python = needed_python(version)
    script = tmp_path / "init.py"
    script.write_text(
        f"import sys\nsys.path.append({str(resolve_plugin / 'python')!r})\n"
        f"from host_plugins.compiled import add_packages\nassert add_packages({str(resolve_plugin)!r}) == ''\n"
    )
    names = modules_of(resolve_plugin, "host_plugins/control", "host_plugins/resolve")
    report, _ = as_host(python, environment, tmp_path, *names)
    assert report["modules"] and all(path.startswith(str(resolve_plugin)) for path in report["modules"].values())


def test_the_packages_of_the_host_are_preferred(nuke_plugin, environment, tmp_path):
    for name in ("msgpack", "fileseq"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text("")
    python = needed_python("3.11")
    report, _ = as_host(python, environment, nuke_plugin, "msgpack", "fileseq", "zmq", own=[tmp_path / "own"])
    owners = {name: tmp_path / "own" in Path(path).parents for name, path in report["modules"].items()}
    assert owners == {"msgpack": True, "fileseq": True, "zmq": False}


def test_the_name_of_the_folder_does_not_hide_the_package(nuke_plugin, environment):
    """Put ~/.nuke and the plug-in's folder on the path, as Nuke does; the latter has the name of a package."""
    own = [nuke_plugin.parent, nuke_plugin]
    report, _ = as_host(needed_python("3.11"), environment, nuke_plugin, "void_bridge", "void_bridge.client", own=own)
    assert report["modules"]["void_bridge"] == str(nuke_plugin / "python/void_bridge/__init__.py")


def test_a_host_without_packages_for_its_python_starts_with_a_message(nuke_plugin, environment, tmp_path):
    plugin = tmp_path / "void_bridge"
    (plugin / "python").mkdir(parents=True)
    (plugin / "init.py").write_bytes((nuke_plugin / "init.py").read_bytes())
    (plugin / "python/host_plugins").symlink_to(nuke_plugin / "python/host_plugins")
    _, errors = as_host(needed_python("3.11"), environment, plugin)
    assert "no packages for Python 3.11" in errors and "install with --python 3.11" in errors
    (plugin / "python/host_plugins").unlink()
    _, errors = as_host(needed_python("3.11"), environment, plugin)
    assert "cannot be loaded" in errors and "install nuke again" in errors


def test_a_bundle_has_wheels_for_every_python_and_platform(tmp_path):
    targets = [(python, platform) for python in BUNDLED for platform in BUNDLED_FOR]
    real_wheels(tmp_path / "probe", ())
    bundle = tmp_path / "bundle"
    options = ("--python", *BUNDLED, "--platform", *BUNDLED_FOR)
    assert run_command(COMMAND, "nuke", "--bundle", bundle, *options) == 0
    for python, platform in targets:
        target = tmp_path / f"{python}-{platform}"
        tags = [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
        offline = ["--no-index", "--find-links", bundle / "wheelhouse", "--only-binary=:all:", "--target", target]
        packages = ("--no-deps", "--python-version", python, "pyzmq", "msgpack", "fileseq")
        command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, *tags, *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        bundled = bundle / f"void_bridge/compiled/cp{python.replace('.', '')}-{platform.replace('-', '_')}"
        assert built(target / "zmq") == built(bundled / "zmq")
        assert built(target / "msgpack") == built(bundled / "msgpack")
        for package in ("zmq", "msgpack"):
            libraries = built(bundled / package)
            assert libraries and all(data.startswith(STARTS[platform]) for data in libraries.values())


def built(package):
    """Return the compiled modules of an unpacked wheel."""
    return {path.name: path.read_bytes() for path in package.rglob("*") if path.suffix in (".so", ".pyd")}
