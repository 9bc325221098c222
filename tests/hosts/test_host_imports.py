"""The plug-ins load with pyzmq, msgpack and pure-Python packages alone: everything else is out of reach here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from host_plugins.install.plugin_files import FARM

ROOT = Path(__file__).parents[2]
ALLOWED = ("zmq", "msgpack", "fileseq", "tomli", "void_bridge", "host_plugins", "nuke", "void_bridge_nuke")

SCRIPT = """
import importlib, sys, types
allowed, modules = sys.argv[1].split(","), sys.argv[2:]
sys.modules["nuke"] = types.ModuleType("nuke")
standard = set(sys.stdlib_module_names)
class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in standard and top not in allowed and not top.startswith("_"):
            raise ImportError(name + " is out of reach here")
sys.meta_path.insert(0, Blocker())
for module in modules:
    importlib.import_module(module)
assert not {"numpy", "OpenEXR", "rich", "gpu_server", "torch"} & set(sys.modules)
"""

LOADED = "print(*sorted(name for name in sys.modules if name.startswith('host_plugins.farm.')))\n"


def modules(package: str) -> list[str]:
    folder = ROOT / package.replace(".", "/")
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


@pytest.mark.parametrize("package", ["host_plugins.control", "host_plugins.nuke", "host_plugins.resolve"])
def test_a_plugin_needs_no_more_than_a_host_has(package):
    names = modules(package)
    assert len(names) > 5
    command = [sys.executable, "-c", SCRIPT, ",".join(ALLOWED), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_farm_in_a_host_is_what_the_plug_ins_import_and_needs_no_more():
    names = [path[: -len(".py")].replace("/", ".") for path in FARM if not path.endswith("__init__.py")]
    command = [sys.executable, "-c", SCRIPT + LOADED, ",".join(ALLOWED)]
    done = subprocess.run([*command, *names], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    hosts = [name for package in ("host_plugins.nuke", "host_plugins.resolve") for name in modules(package)]
    loaded = subprocess.run([*command, *hosts], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == done.stdout.split() == sorted(names)


def test_the_check_finds_a_package_that_is_not_allowed():
    command = [sys.executable, "-c", SCRIPT, ",".join(ALLOWED), "numpy"]
    assert "numpy is out of reach here" in subprocess.run(command, capture_output=True, text=True).stderr


def test_a_menu_without_its_packages_does_not_keep_nuke_from_starting(tmp_path):
    menu = ROOT / "host_plugins" / "nuke" / "plugin" / "menu.py"
    command = [sys.executable, "-I", "-S", str(menu)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "VOID Bridge: no menu: No module named 'host_plugins'" in done.stderr


def test_a_menu_that_cannot_be_made_does_not_keep_nuke_from_starting():
    """Use an empty module as Nuke: it has no menus."""
    script = "import runpy, sys, types\nsys.modules['nuke'] = types.ModuleType('nuke')\nrunpy.run_path(sys.argv[1])"
    menu = ROOT / "host_plugins" / "nuke" / "plugin" / "menu.py"
    done = subprocess.run([sys.executable, "-c", script, str(menu)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "VOID Bridge: no menu: module 'nuke' has no attribute 'menu'" in done.stderr
