"""The findings of `void-bridge doctor` about GPU, driver and torch.

The fakes are a program named nvidia-smi, whose output is modelled on NVIDIA's manual page and on published output; a
package named torch that holds a version file alone; and a PCI bus of three files. It has not been run with a GPU.
"""

from __future__ import annotations

import sys
import types

import pytest

from gpu_server.findings import gpu, nvidia_smi, torch_build
from gpu_server.findings.gpu import gpu_findings
from void_bridge.cli.findings import Finding

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")

UUID = "GPU-8f2a1c3e-0000-0000-0000-000000000000"
ADA = f"0, {UUID}, NVIDIA GeForce RTX 4090, 580.65.06, 24564, 371, Default, 8.9"
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.126"
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running."
)
LOST = "Unable to determine the device handle for GPU 0000:0A:00.0: GPU is lost.  Reboot the system to recover this GPU"

FAKE = """#!/bin/sh
# A fake of NVIDIA's program, for tests.
here=$(dirname "$0")
case "$1" in
--query-gpu=*compute_cap*) set -- gpu ;;
--query-gpu=*) set -- old ;;
--query-compute-apps=*) set -- apps ;;
esac
[ -e "$here/$1.hangs" ] && exec sleep 60
[ -e "$here/$1.says" ] && cat "$here/$1.says"
[ -e "$here/$1.code" ] && exit "$(cat "$here/$1.code")"
exit 0
"""


class Machine:
    """The folders of the fakes; `smi` sets the answer of nvidia-smi, `torch` the installed torch."""

    def __init__(self, folder):
        self.folder, self.programs, self.packages = folder, folder / "programs", folder / "packages"
        self.programs.mkdir()
        self.packages.mkdir()

    def smi(self, *rows, code=0, hangs=False, **more):
        path = self.programs / "nvidia-smi"
        path.write_text(FAKE)
        path.chmod(0o755)
        for name, said in {"gpu": "\n".join(rows), **more}.items():
            (self.programs / f"{name}.says").write_text(f"{said}\n")
        (self.programs / "gpu.code").write_text(str(code))
        if hangs:
            (self.programs / "gpu.hangs").touch()

    def torch(self, version="2.13.0+cu130", cuda="13.0", hip=None):
        (self.packages / "torch").mkdir()
        (self.packages / "torch" / "__init__.py").write_text("raise AssertionError('torch was imported')")
        text = f"from typing import Optional\n__version__ = {version!r}\ncuda: Optional[str] = {cuda!r}\n"
        (self.packages / "torch" / "version.py").write_text(f"{text}hip: Optional[str] = {hip!r}\n")

    def card(self, vendor="0x10de", kind="0x030000"):
        place = self.folder / "pci" / "0000:01:00.0"
        place.mkdir(parents=True)
        (place / "vendor").write_text(f"{vendor}\n")
        (place / "class").write_text(f"{kind}\n")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Fake a machine without GPU and torch, but with more free memory than any plan asks for."""
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.programs}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sys, "path", [str(machine.packages)])
    monkeypatch.setattr(nvidia_smi, "_OTHER_PATHS", ())
    monkeypatch.setattr(nvidia_smi.shutil, "which", lambda name: _which(name, machine.programs))
    monkeypatch.setattr(gpu, "gpu_count", lambda: 0)  # this machine's own driver
    monkeypatch.setattr(gpu, "PCI", tmp_path / "pci")
    monkeypatch.setattr(gpu.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 * 2**30}))
    return machine


def _which(name, folder):
    """Return the fake program alone: this machine's own nvidia-smi must not be found."""
    return str(folder / name) if (folder / name).exists() else None


def found(name):
    (one,) = (finding for finding in gpu_findings() if finding.name == name)
    return one


def test_a_card_in_order_is_reported_with_its_plan(machine):
    machine.smi(ADA)
    machine.torch()
    card, torch = gpu_findings()
    assert (card.name, card.state, card.fix) == ("gpu 0", "ok", "")
    assert card.detail.startswith(
        "NVIDIA GeForce RTX 4090, driver 580.65.06, 24.0 GiB, 0.4 taken, compute capability 8.9; void: bf16, "
    )
    assert torch == Finding("torch", "ok", "2.13.0+cu130 for CUDA 13.0, which driver 580.65.06 can run")


def test_no_gpu_is_no_fault(machine):
    card, torch = gpu_findings()
    assert (card.name, card.state) == ("gpu", "note") and "nvidia-smi is not installed" in card.detail
    assert "the propagate engine needs no GPU" in card.fix
    assert torch == Finding("torch", "ok", "not installed; only the void engine needs it")


@pytest.mark.skipif(sys.platform != "linux", reason="the PCI bus is seen on Linux")
@pytest.mark.parametrize(
    ("vendor", "kind", "is_seen"),
    [
        ("0x10de", "0x030000", True),
        ("0x10de", "0x030200", True),
        ("0x10de", "0x040300", False),  # its sound
        ("0x1002", "0x030000", False),
    ],
)
def test_a_card_without_a_driver_is_noted(machine, vendor, kind, is_seen):
    machine.card(vendor, kind)
    finding = found("gpu")
    assert finding.state == "note" and ("there is an NVIDIA card, but" in finding.detail) == is_seen
    assert ("install NVIDIA's driver" in finding.fix) == is_seen


def test_a_driver_without_its_program_is_noted(machine, monkeypatch):
    monkeypatch.setattr(gpu, "gpu_count", lambda: 2)
    finding = found("gpu")
    assert finding.state == "note" and "the driver has 2 GPU, but nvidia-smi is not on PATH" in finding.detail


@pytest.mark.parametrize(
    ("said", "code", "words", "fix"),
    [
        (MISMATCH, 18, "the driver was updated, but the old version is still loaded", "restart this machine"),
        (NOT_LOADED, 9, "the NVIDIA driver is not loaded", "install the driver for this kernel"),
        (LOST, 15, "a GPU no longer answers the driver", "Xid"),
        ("Failed to initialize NVML: Insufficient Permissions", 4, "this user may not open the GPU", "to the group"),
        ("Failed to initialize NVML: Unknown Error", 255, "a container may have lost its GPU", "restart the cont"),
        ("", 12, "the driver's library (NVML) is missing", "reinstall the driver"),
        ("Segmentation fault", 139, "nvidia-smi ended with 139 and said 'Segmentation fault'", "run nvidia-smi"),
        ("", 0, "nvidia-smi ended with 0 and said 'nothing'", "run nvidia-smi"),
    ],
)
def test_each_driver_failure_has_a_fix(machine, said, code, words, fix):
    machine.smi(said, code=code)
    finding = found("gpu")
    assert finding.state == "bad" and words in finding.detail and fix in finding.fix


def test_a_driver_without_a_card_is_noted(machine):
    machine.smi("No devices were found", code=6)
    finding = found("gpu")
    assert finding.state == "note" and "the driver is loaded and finds no GPU" in finding.detail


def test_a_driver_that_hangs_is_bad(machine, monkeypatch):
    monkeypatch.setattr(nvidia_smi, "LIMIT_S", 0.3)
    machine.smi(ADA, hangs=True)
    finding = found("gpu")
    assert finding.state == "bad" and finding.detail.startswith("nvidia-smi does not answer in 0.3 s")
    assert "restart this machine" in finding.fix


def test_a_program_that_cannot_be_run_is_bad(machine):
    machine.smi(ADA)
    (machine.programs / "nvidia-smi").write_text("#!/nowhere/sh\n")
    finding = found("gpu")
    assert finding.state == "bad" and "cannot run" in finding.detail and "reinstall the NVIDIA driver" in finding.fix


def test_an_old_driver_is_asked_without_compute_capability(machine):
    machine.smi(
        'Field "compute_cap" is not a valid field to query.',
        code=2,
        old=f"0, {UUID}, NVIDIA GeForce RTX 3090, 470.256.02, 24268, 0, Default",
    )
    finding = found("gpu 0")
    assert (
        finding.state == "ok"
        and "driver 470.256.02" in finding.detail
        and "compute capability unknown" in finding.detail
    )


def test_a_card_below_8_9_says_what_it_falls_back_to(machine):
    machine.smi(f"0, {UUID}, NVIDIA A100-PCIE-40GB, 580.65.06, 40960, 0, Default, 8.0")
    card, eight_bit, _ = gpu_findings()
    assert card.state == "ok" and eight_bit.state == "note"
    assert (
        "widened where they are used (fp8-stored)" in eight_bit.detail
        and "needs compute capability 8.9" in eight_bit.fix
    )


@pytest.mark.parametrize(
    ("total", "state", "words"), [(8192, "ok", "transformer swapped"), (1024, "note", "too small")]
)
def test_the_plan_that_fits_is_named(machine, total, state, words):
    machine.smi(f"0, {UUID}, NVIDIA RTX, 580.65.06, {total}, 0, Default, 8.9")
    assert found("gpu 0").state == state and words in found("gpu 0").detail


def test_the_processes_that_hold_memory_are_named(machine):
    apps = f"{UUID}, 4711, /usr/local/Nuke15.1v5/Nuke15.1, 22000\nGPU-other, 4712, /usr/bin/blender, 9000"
    machine.smi(ADA.replace(" 371,", " 24000,"), apps=apps)
    finding = found("gpu 0")
    assert finding.state == "note" and "now: no room for the void engine; if it were empty: bf16" in finding.detail
    assert "Nuke15.1 (process 4711, 21.5 GiB)" in finding.fix and "blender" not in finding.fix


def test_too_little_host_memory_is_noted(machine, monkeypatch):
    monkeypatch.setattr(gpu.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2**29}))
    machine.smi(ADA)
    finding = found("gpu 0")
    assert finding.state == "note" and "0.5 GiB of free memory on this machine are too little" in finding.detail


def test_a_card_of_unknown_memory_is_in_order(machine):
    machine.smi(f"0, {UUID}, NVIDIA GB10, 580.95.05, [N/A], [N/A], Default, 12.1")
    finding = found("gpu 0")
    assert finding.state == "ok" and "memory unknown" in finding.detail


def test_a_prohibited_card_is_bad(machine):
    machine.smi(ADA.replace("Default", "Prohibited"))
    finding = found("gpu 0")
    assert finding.state == "bad" and finding.fix == "nvidia-smi -i 0 -c DEFAULT, as root"


@pytest.mark.parametrize(("visible", "state"), [("", "note"), ("-1", "note"), ("3", "note"), ("0", "ok")])
def test_hidden_cards_are_noted(machine, monkeypatch, visible, state):
    machine.smi(ADA)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    finding = found("gpu")
    assert finding.state == state and f"CUDA_VISIBLE_DEVICES={visible} " in finding.detail


@pytest.mark.parametrize(
    ("build", "driver", "capability", "state", "words"),
    [
        ({}, "580.65.06", "8.9", "ok", "which driver 580.65.06 can run"),
        ({}, "570.124.06", "8.9", "bad", "needs driver 580 or later, this is 570.124.06"),
        ({"version": "2.13.0+cu126", "cuda": "12.6"}, "525.60.13", "8.9", "ok", "for CUDA 12.6"),
        ({"version": "2.13.0+cu126", "cuda": "12.6"}, "510.47.03", "8.9", "bad", "needs driver 525 or later"),
        ({"version": "2.13.0+cu126", "cuda": "12.6"}, "590.10", "12.0", "bad", "needs 12.8 or later"),
        ({"version": "2.13.0+cu128", "cuda": "12.8"}, "590.10", "12.0", "ok", "for CUDA 12.8"),
        ({}, "580.65.06", "7.0", "bad", "needs CUDA 12"),
        ({"version": "2.13.0+cpu", "cuda": None}, "580.65.06", "8.9", "bad", "is for CPUs"),
        ({"version": "2.13.0+rocm7", "cuda": None, "hip": "7.0"}, "580.65.06", "8.9", "note", "AMD"),
    ],
)
def test_torch_is_compared_with_driver_and_card(machine, build, driver, capability, state, words):
    machine.smi(f"0, {UUID}, NVIDIA card, {driver}, 24564, 0, Default, {capability}")
    machine.torch(**build)
    finding = found("torch")
    assert finding.state == state and words in finding.detail
    assert (state == "ok") == (finding.fix == "")


def test_a_torch_that_this_process_has_imported_is_not_asked(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    machine.torch(version="9.9.9", cuda="13.0")
    assert found("torch").detail == "9.9.9, for CUDA 13.0"


def test_a_gpu_without_torch_is_noted(machine):
    machine.smi(ADA)
    finding = found("torch")
    assert finding.state == "note" and finding.fix == "install void-bridge[void]"


def test_a_torch_without_its_version_file_is_bad(machine):
    (machine.packages / "torch").mkdir()
    (machine.packages / "torch" / "__init__.py").touch()
    finding = found("torch")
    assert finding.state == "bad" and "torch is broken" in finding.detail and "pip uninstall torch" in finding.fix


def test_this_machines_own_torch_is_read_without_importing_it():
    build = torch_build.installed_torch()
    if build is None:
        pytest.skip("no torch here")
    assert build.version[0].isdecimal() and build.cuda_version >= (0, 0)


def test_the_version_file_of_torch_is_parsed():
    """Its fields are assignments with and without a type."""
    text = "from typing import Optional\n__version__ = '2.11.0+cu128'\ncuda: Optional[str] = '12.8'\nhip = None\n"
    assert torch_build._constants(torch_build.ast.parse(text)) == {
        "__version__": "2.11.0+cu128",
        "cuda": "12.8",
        "hip": None,
    }
