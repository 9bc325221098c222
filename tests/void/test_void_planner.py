"""The choice of memory plans, without torch."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG, FULL_TEXT_CONFIG, FULL_VAE_CONFIG
from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, all_plans, choose_plan, next_smaller_plan
from gpu_server.engines.void.planner.plan import PHASES, PlanRequest
from gpu_server.engines.void.planner.plan_command import CARDS_GIB, card_table, describe_plan
from gpu_server.engines.void.planner.spec import full_size, read_spec
from gpu_server.models_command import COMMAND
from void_bridge.cli.console import CommandOutcome
from void_bridge.errors import InputError, OutOfMemory, UnreadableFile, UsageError

SPEC = full_size()
NEW, OLD = (8, 9), (8, 6)
DOCUMENT = Path(__file__).parents[2] / "docs" / "tds" / "memory.md"


def planned(gib, capability=NEW, host=None, **wishes):
    return choose_plan(SPEC, PlanRequest(**wishes), AvailableMemory(int(gib * GIB), capability, host))


@pytest.mark.parametrize("gib", [*CARDS_GIB, 10, 20, 141])
@pytest.mark.parametrize("capability", [OLD, NEW])
def test_the_chosen_plan_is_the_widest_that_fits(gib, capability):
    room = AvailableMemory(gib * GIB, capability)
    plan = choose_plan(SPEC, PlanRequest(), room)
    assert max(plan.peaks.values()) < gib * GIB * 0.95 - GIB / 2 + 1
    names = [plan.name for plan in all_plans(SPEC, PlanRequest(), room)]
    wider = all_plans(SPEC, PlanRequest(), room)[: names.index(plan.name)]
    assert all(max(plan.peaks.values()) > room.usable for plan in wider)


def test_more_memory_never_gives_a_smaller_plan():
    names = [plan.name for plan in all_plans(SPEC, PlanRequest(), AvailableMemory(0, NEW))]
    places = [names.index(planned(gib).name) for gib in (4, *CARDS_GIB)]
    assert places == sorted(places, reverse=True)


def test_every_plan_has_a_name_of_its_own():
    for room in (AvailableMemory(0, NEW), AvailableMemory(0, OLD), AvailableMemory(None)):
        names = [plan.name for plan in all_plans(SPEC, PlanRequest(), room)]
        assert len(set(names)) == len(names)


def test_common_cards_get_the_documented_plans():
    assert planned(80).passes_kept == 2 and planned(80).precision == "bf16" and planned(80).text_encoder == "device"
    assert planned(24).transformer == "device" and planned(24).passes_kept == 1
    assert planned(16).transformer == "swapped" and planned(16).vae_rows is None
    small = planned(8, OLD)
    assert small.precision == "fp8-stored" and small.text_encoder == "cpu" and small.vae_rows == 32
    assert planned(4).transformer == "blocks"


def test_host_memory_counts_parts_that_left_the_gpu():
    swapped, kept = planned(16), planned(24)
    weights = sum(part.bytes for part in swapped.parts if part.name in ("attention and feed-forward", "VAE"))
    assert swapped.host_peaks["text"] - kept.host_peaks["text"] >= weights
    assert swapped.host_peaks["denoise"] < swapped.host_peaks["decode"]


def test_too_little_host_memory_rules_a_plan_out():
    assert planned(16, host=12 * GIB).transformer == "swapped"
    assert planned(16, host=8 * GIB).host_peaks != planned(16).host_peaks
    with pytest.raises(OutOfMemory, match="host memory"):
        planned(16, host=GIB)


def test_fp8_needs_a_gpu_that_multiplies_it():
    assert planned(8, NEW).precision == "fp8"
    assert planned(24, NEW, precision="fp8").precision == "fp8"
    with pytest.raises(UsageError, match=r"8\.6.*fp8-stored"):
        planned(24, OLD, precision="fp8")


def test_a_named_precision_is_kept():
    plan = planned(8, precision="bf16")
    assert (plan.precision, plan.transformer) == ("bf16", "blocks")
    for precision in ("float32", "bf16", "fp8", "fp8-stored"):
        assert planned(80, precision=precision).precision == precision


def test_a_named_precision_that_does_not_fit_says_what_does():
    with pytest.raises(OutOfMemory, match=r"of 'float32.*'bf16.*fits: choose --precision auto or bf16"):
        planned(16, precision="float32", host=16 * GIB)


def test_where_no_plan_fits_the_smallest_ones_need_is_named():
    with pytest.raises(OutOfMemory, match=r"decode takes .* GiB of 0\.\d of GPU memory.*--canvas"):
        planned(1)


@pytest.mark.parametrize("phase", PHASES)
def test_after_out_of_memory_each_smaller_plan_takes_less_in_that_phase(phase):
    room = AvailableMemory(24 * GIB, NEW)
    plan = choose_plan(SPEC, PlanRequest(), room)
    walked = [plan]
    while (plan := next_smaller_plan(SPEC, PlanRequest(), room, plan, phase)) is not None:
        assert plan.peaks[phase] < walked[-1].peaks[phase]
        assert walked[-1].name in plan.why[0] and phase in plan.why[0]
        walked.append(plan)
    assert len(walked) >= 2
    assert walked[-1].peaks[phase] == min(
        plan.peaks[phase] for plan in all_plans(SPEC, PlanRequest(), room) if not room.lacks(plan)
    )


def test_after_out_of_memory_in_an_unknown_phase_the_peak_falls():
    room = AvailableMemory(24 * GIB, NEW)
    plan = choose_plan(SPEC, PlanRequest(), room)
    below = next_smaller_plan(SPEC, PlanRequest(), room, plan)
    assert max(below.peaks.values()) < max(plan.peaks.values())


def test_the_smallest_plan_has_no_smaller_one():
    room = AvailableMemory(24 * GIB, NEW)
    assert next_smaller_plan(SPEC, PlanRequest(), room, all_plans(SPEC, PlanRequest(), room)[-1]) is None


def test_plans_without_a_gpu_take_no_gpu_memory():
    wide = choose_plan(SPEC, PlanRequest(), AvailableMemory(None, host=64 * GIB))
    assert (wide.device, wide.precision, wide.text_encoder) == ("cpu", "float32", "cpu")
    assert not any(wide.peaks.values())
    smaller = choose_plan(SPEC, PlanRequest(), AvailableMemory(None, host=16 * GIB))
    assert smaller.precision == "bf16" and max(smaller.host_peaks.values()) < 16 * GIB
    below = next_smaller_plan(SPEC, PlanRequest(), AvailableMemory(None, host=16 * GIB), smaller, "decode")
    assert below.host_peaks["decode"] < smaller.host_peaks["decode"]


def test_guidance_takes_memory_for_a_second_half():
    once, twice = planned(16, guided=False), planned(16)
    assert once.guidance == "together" and once.peaks["denoise"] < twice.peaks["denoise"]
    assert all(
        plan.guidance == "together" for plan in all_plans(SPEC, PlanRequest(guided=False), AvailableMemory(0, NEW))
    )


def test_a_longer_shot_runs_in_windows():
    long, window = (planned(80, frames=frames) for frames in (1000, 85))
    share = {plan: next(part for part in plan.parts if part.name.startswith("denoise")) for plan in (long, window)}
    assert share[long].bytes == share[window].bytes
    assert planned(80, frames=5).peaks["denoise"] < window.peaks["denoise"]


def test_a_request_out_of_range_is_refused():
    for wrong in ({"canvas": (100, 672)}, {"frames": 0}, {"steps": 0}, {"precision": "int4"}):
        with pytest.raises(UsageError):
            PlanRequest(**wrong)


def test_reasons_name_each_kind_of_wider_plan_once():
    lines = [line for line in planned(8).why if line.startswith("not ")]
    assert len(set(lines)) == len(lines) and all(" GiB of " in line for line in lines)
    assert any("bf16" in line for line in lines)


def test_only_the_smallest_plans_change_the_vaes_numbers():
    plans = all_plans(SPEC, PlanRequest(), AvailableMemory(0, NEW))
    assert [plan.vae_latents_at_once for plan in plans] == sorted((p.vae_latents_at_once for p in plans), reverse=True)
    assert planned(6).vae_saving == {"rows": 16, "parked": True, "latents_at_once": 2}
    parked = [part for part in planned(6).parts if "parked" in part.name]
    assert parked and all("host" in part.places and "device" not in part.places for part in parked)


def test_sizes_come_from_the_models_folder(tmp_path):
    layers = 2
    configs = {
        "transformer": {**FULL_CONFIG, "num_layers": layers},
        "vae": FULL_VAE_CONFIG,
        "text_encoder": FULL_TEXT_CONFIG,
    }
    for part, config in configs.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    spec = read_spec(tmp_path)
    assert spec.transformer.quantised * 42 == SPEC.transformer.quantised * layers
    assert (spec.vae, spec.text) == (SPEC.vae, SPEC.text)
    (tmp_path / "transformer" / "config.json").write_text(json.dumps({"num_layers": 2}))
    with pytest.raises(InputError):
        read_spec(tmp_path)
    (tmp_path / "vae" / "config.json").unlink()
    with pytest.raises(UnreadableFile):
        read_spec(tmp_path)


def run_command(*words):
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    arguments = parser.parse_args(["plan", *words])
    arguments.outcome = CommandOutcome(arguments.json)
    code = COMMAND.run(arguments)
    arguments.outcome.write()
    return code


def test_the_command_prints_bytes_and_places(capsys):
    assert run_command("--vram", "16") == 0
    out = capsys.readouterr().out
    assert "9,512,681,472" in out and "swapped" in out and "after an out-of-memory error: " in out
    assert "not 'bf16, transformer kept" in out


def test_the_command_prints_json(capsys):
    assert run_command("--vram", "24", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["plan"]["precision"] == "bf16" and said["plan"]["peaks"]["decode"] <= said["usable"]
    assert said["next"]


@pytest.mark.parametrize(
    "words",
    [
        ("--vram", "0"),
        ("--vram", "-4"),
        ("--vram", "nan"),
        ("--cpu", "--host", "0"),
        ("--vram", "16", "--canvas", "385x672"),
        ("--vram", "16", "--canvas", "large"),
        ("--vram", "16", "--frames", "0"),
        ("--vram", "16", "--precision", "int4"),
        ("--vram", "16", "--capability", "new"),
    ],
)
def test_the_command_refuses_wrong_options(words):
    with pytest.raises(UsageError):
        run_command(*words)


def test_every_line_of_a_table_sums_up():
    plan = planned(8)
    text = describe_plan(plan, None)
    for phase in PHASES:
        assert sum(p.bytes for p in plan.parts if p.places[PHASES.index(phase)] == "device") == plan.peaks[phase]
        assert f"{plan.peaks[phase] / GIB:.2f}" in text


def test_the_documented_table_of_cards_is_current():
    text = DOCUMENT.read_text()
    assert text.partition("<!-- cards -->\n")[2].partition("\n<!-- /cards -->")[0] == card_table()


def test_planning_loads_no_torch():
    code = "import sys; import gpu_server.models_command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plan_names_the_requested_attention():
    assert replace(planned(16), parts=()).attention == "sdpa"
    assert planned(16, attention="sage").attention == "sage"
