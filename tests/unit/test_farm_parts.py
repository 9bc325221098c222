"""The parts of a farm submission, one by one."""

from __future__ import annotations

import io
import json
import platform
from pathlib import Path

import pytest

from host_plugins.farm import session
from host_plugins.farm.assets import assets_of, check_roots
from host_plugins.farm.bundle import check_values, read_bundle, write_bundle
from host_plugins.farm.claim_outputs import check_output_free_for, claim_outputs
from host_plugins.farm.job_paths import job_on_this_host, mapped, take_output_folder
from host_plugins.farm.options import FarmOptions
from host_plugins.farm.progress import TaskProgress
from host_plugins.farm.reporters import Deadline10Reporter, OpenJobReporter, PlainReporter
from host_plugins.farm.shot_list import read_shot_list
from host_plugins.farm.shots import plan_shots
from host_plugins.farm.status import overall
from host_plugins.farm.status_files import (
    CHECK,
    SubmissionRecord,
    TaskState,
    read_tasks,
    summary,
    write_submission,
    write_task,
)
from host_plugins.farm.task import missing_frames, percent_of
from host_plugins.farm.task_reports import merged, write_report
from host_plugins.farm.template import TASKS_MAX, job_name, make_template
from tests.support.shots import disc, make_job, write_matte, write_plate
from void_bridge.config import Config
from void_bridge.errors import (
    Cancelled,
    EngineError,
    FrameRangeError,
    InputError,
    MissingFrames,
    OutputError,
    UsageError,
)
from void_bridge.frames import FrameRange
from void_bridge.job import JobFile, MatteSource
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import JobStatus, Progress

pytest.importorskip("yaml")

FRAMES = range(1001, 1011)


@pytest.fixture
def job(tmp_path):
    plate = write_plate(tmp_path / "plates", FRAMES, (16, 24))
    roto = write_matte(tmp_path / "plates", FRAMES, disc((16, 24), (8, 8), 4))
    return make_job(plate, FRAMES, roto, engine="propagate").replace(output=str(tmp_path / "out/a/clean.####.exr"))


def tasks_of(job, **options):
    (shot,) = plan_shots([("", job)], FarmOptions(**options))
    return [str(frames) for frames in shot.tasks]


# --- shots ---------------------------------------------------------------------------------------


def test_chunks_cover_every_frame_once(job):
    assert tasks_of(job, chunk=4) == ["1001-1004", "1005-1008", "1009-1010"]
    assert tasks_of(job, chunk=10) == tasks_of(job, chunk=0) == ["1001-1010"]


def test_a_void_shot_is_never_cut(job):
    assert tasks_of(job.replace(engine="void"), chunk=2) == ["1001-1010"]


def test_auto_is_decided_once_for_all_tasks(job):
    auto = job.replace(engine="auto")
    assert plan_shots([("", auto)], FarmOptions(gpus=1))[0].job.engine == "void"
    assert plan_shots([("", auto)], FarmOptions(gpus=0))[0].job.engine == "propagate"


def test_handles_that_are_delivered_belong_to_tasks(job):
    inner = job.replace(frames=FrameRange(range(1004, 1007)), handles=2, deliver_handles=True)
    assert tasks_of(inner) == ["1002-1008"]


def test_two_shots_must_differ_in_name_and_place(job):
    other = job.replace(output=job.output.replace("/a/", "/b/"))
    with pytest.raises(UsageError, match="two shots are called sh010"):
        plan_shots([("sh010", job), ("SH010", other)], FarmOptions())
    with pytest.raises(OutputError, match="sh010 and sh020 would both write to"):
        plan_shots([("sh010", job), ("sh020", job)], FarmOptions())
    assert [shot.name for shot in plan_shots([("", job), ("sh 020/é", other)], FarmOptions())] == ["clean", "sh_020_é"]


def test_the_views_of_a_stereo_shot_differ_by_their_folders(job):
    left, right = (job.replace(output=job.output.replace("/a/", f"/a/{view}/")) for view in ("left", "right"))
    shots = plan_shots([("", left), ("", right)], FarmOptions())
    assert [shot.name for shot in shots] == ["clean_left", "clean_right"]


@pytest.mark.parametrize(
    ("field", "value"), [("priority", 101), ("gpus", -1), ("chunk", -3), ("gpu_memory_gb", 5000), ("memory_gb", -1)]
)
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(UsageError, match=field.split("_")[0]):
        FarmOptions(**{field: value})


# --- template and bundle -------------------------------------------------------------------------


def test_too_many_tasks_are_refused_with_advice(job):
    many = job.replace(frames=FrameRange(range(1, TASKS_MAX + 2)))
    shots = plan_shots([("", many)], FarmOptions(chunk=1))
    with pytest.raises(UsageError, match=f"got {TASKS_MAX + 1} tasks.*--chunk"):
        make_template(shots, FarmOptions(chunk=1))


def test_a_name_holds_no_expression_and_no_control_characters(job):
    shots = plan_shots([("", job)], FarmOptions())
    name = job_name(shots, FarmOptions(name="a\n{{Param.X}}\x07" + "x" * 300))
    assert name.startswith("a {Param.X} x")
    assert len(name) == 128


def bundle_of(job, folder, **options):
    shots = plan_shots([("sh010", job)], FarmOptions(**options))
    return write_bundle(folder, shots, assets_of(shots), FarmOptions(**options))


def test_a_bundle_is_read_from_any_folder(job, tmp_path):
    made = bundle_of(job, tmp_path / "bundle", chunk=5)
    (tmp_path / "bundle").rename(tmp_path / "else where ö")
    found = read_bundle(tmp_path / "else where ö")
    assert (found.name, found.tasks(), found.values) == (made.name, made.tasks(), made.values)
    assert found.job("sh010").job == job


def test_a_bundle_overwrites_nothing_and_leaves_nothing_half_made(job, tmp_path):
    bundle_of(job, tmp_path / "bundle")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="already exists"):
        bundle_of(job, tmp_path / "bundle")
    with pytest.raises(UsageError, match=r"unknown parameter 'VoidBrige'; did you mean 'VoidBridge'"):
        bundle_of(job, tmp_path / "other", parameters={"VoidBrige": "x"})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_parameter_is_named_with_the_nearest_given():
    template = {"parameterDefinitions": [{"name": "CompScript", "type": "PATH"}]}
    with pytest.raises(UsageError, match=r"unknown parameter 'Compscrip'; did you mean 'CompScript'"):
        check_values(template, {"Compscrip": "x"})
    with pytest.raises(UsageError, match=r"no value for parameter 'CompScript'.*--parameter CompScript=VALUE"):
        check_values(template, {})


def test_a_bundle_that_lost_a_piece_says_which(job, tmp_path):
    bundle_of(job, tmp_path / "bundle")
    file = tmp_path / "bundle/jobs/sh010.json"
    file.rename(tmp_path / "bundle/jobs/sh01.json")
    with pytest.raises(InputError, match=r"no shot 'sh010'.*did you mean 'sh01'"):
        read_bundle(tmp_path / "bundle")
    (tmp_path / "bundle/jobs/sh01.json").unlink()
    with pytest.raises(InputError, match="has no jobs; move"):
        read_bundle(tmp_path / "bundle")
    (tmp_path / "bundle/template.yaml").write_text("{{{")
    with pytest.raises(InputError, match=r"cannot read .*template.yaml"):
        read_bundle(tmp_path / "bundle")
    (tmp_path / "bundle/template.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match="is not a bundle of void-bridge"):
        read_bundle(tmp_path / "bundle")


def test_the_frames_of_a_task_are_read_strictly():
    with pytest.raises(FrameRangeError):
        FrameRange.parse("1001-10x")


# --- assets --------------------------------------------------------------------------------------


def test_assets_are_every_file_that_is_read_and_every_folder_that_is_written(job, tmp_path):
    config = tmp_path / "show.ocio"
    config.write_text("ocio")
    with_config = job.replace(colour=job.colour.__class__("ACEScg", str(config)))
    found = assets_of(plan_shots([("", with_config)], FarmOptions()))
    assert len(found.inputs) == 2 * len(FRAMES) + 1
    assert str(config) in found.inputs
    assert found.outputs == (str(tmp_path / "out/a"),)
    assert found.bytes == sum(Path(path).stat().st_size for path in found.inputs)
    assert any(line.strip() == f"20 in {tmp_path / 'plates'}" for line in found.lines())


def test_paths_that_the_workers_do_not_see_are_refused(job, tmp_path):
    found = assets_of(plan_shots([("", job)], FarmOptions()))
    check_roots(found.paths, ())
    check_roots(found.paths, (str(tmp_path),))
    with pytest.raises(InputError, match=r"out.a is outside the folders that the farm's workers see .*farm_roots"):
        check_roots(found.paths, (str(tmp_path / "plates"),))


# --- whose output --------------------------------------------------------------------------------


def test_an_output_is_claimed_once_and_by_one_job(job, tmp_path):
    check_output_free_for(job, None, overwrite=False)
    with claim_outputs([job], overwrite=False):
        check_output_free_for(job, None, overwrite=False)
    other = job.replace(seed=7)
    with pytest.raises(OutputError, match="with other settings"):
        check_output_free_for(other, None, overwrite=False)
    check_output_free_for(other, tmp_path / "out/a/job.json", overwrite=False)
    (tmp_path / "out/a/clean.1001.exr").write_bytes(b"of the first job")
    check_output_free_for(other, None, overwrite=True)
    with claim_outputs([other], overwrite=True):
        pass
    assert not (tmp_path / "out/a/clean.1001.exr").exists()
    assert JobFile.read(tmp_path / "out/a/job.json").job == other


def test_a_submission_that_fails_leaves_nothing(job, tmp_path):
    with pytest.raises(UsageError), claim_outputs([job], overwrite=False):
        assert (tmp_path / "out/a/job.json").exists()
        raise UsageError("the farm does not take it")
    assert not (tmp_path / "out/a").exists()


def test_frames_that_no_job_claims_are_not_written_over(job, tmp_path):
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/clean.1004.exr").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="belong to no job"):
        check_output_free_for(job, None, overwrite=False)


def test_a_task_takes_a_free_folder_and_refuses_anothers(job, tmp_path):
    take_output_folder(job, PathMap())
    assert JobFile.read(tmp_path / "out/a/job.json").job == job
    take_output_folder(job, PathMap())
    with pytest.raises(OutputError, match="holds another job"):
        take_output_folder(job.replace(seed=3), PathMap())


# --- path mapping --------------------------------------------------------------------------------

RULES = {
    "version": "pathmapping-1.0",
    "path_mapping_rules": [
        {"source_path_format": "WINDOWS", "source_path": "P:\\show x", "destination_path": "{ROOT}"},
        {"source_path_format": "POSIX", "source_path": "/mnt/other", "destination_path": "/else"},
    ],
}


def rules_to(root: Path) -> PathMap:
    return PathMap.from_rules(json.loads(json.dumps(RULES).replace("{ROOT}", root.as_posix())))


def test_windows_paths_become_those_of_this_machine(job, tmp_path):
    windows = job.replace(
        plate="P:\\Show X\\plates\\plate.####.exr",
        remove=MatteSource("p:/show x/plates/roto.####.exr", "A"),
        output="P:\\show x\\out\\a\\clean.####.exr",
        colour=job.colour.__class__("ACEScg", "P:\\show x\\a.ocio"),
    )
    found = mapped(windows, rules_to(tmp_path))
    assert found.plate == f"{tmp_path}/plates/plate.####.exr"
    assert found.remove.sequence == f"{tmp_path}/plates/roto.####.exr"
    assert found.output == f"{tmp_path}/out/a/clean.####.exr"
    assert found.colour.config == f"{tmp_path}/a.ocio"
    (tmp_path / "jobs").mkdir()
    JobFile(windows).write(tmp_path / "jobs/sh010.json")
    assert job_on_this_host(tmp_path / "jobs", "sh010", rules_to(tmp_path)) == found
    take_output_folder(found, rules_to(tmp_path))
    JobFile(windows).write(tmp_path / "out/a/job.json")
    take_output_folder(found, rules_to(tmp_path))


def test_a_path_outside_every_mapped_root_is_named_with_the_roots(job, tmp_path):
    (tmp_path / "jobs").mkdir()
    JobFile(job.replace(plate="Q:\\elsewhere\\plate.####.exr")).write(tmp_path / "jobs/sh010.json")
    with pytest.raises(
        InputError, match=r"Q:\\elsewhere\\ does not exist .* outside every mapped root \(P:\\show x, /mnt"
    ):
        job_on_this_host(tmp_path / "jobs", "sh010", rules_to(tmp_path))


def test_rules_may_be_absent_and_must_be_rules():
    assert PathMap.from_rules({}) == PathMap()
    with pytest.raises(InputError, match=r"pathmapping-1\.0"):
        PathMap.from_rules({"path_mapping_rules": [{"source": "x"}]})
    with pytest.raises(InputError, match=r"pathmapping-1\.0"):
        PathMap.from_rules([1])


# --- shot lists ----------------------------------------------------------------------------------


def written(path: Path, *lines: str, encoding="utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_a_broken_line_is_numbered_and_leaves_the_rest_untouched(job, tmp_path):
    path = written(
        tmp_path / "shots.csv",
        "shot,plate,remove,frames,colorspace,output,grain,seed",
        "# a comment, with commas",
        "sh010,plates/plate.####.exr,plates/roto.####.exr,1001-1004,ACEScg,out/a.####.exr,off,3",
        "",
        "sh020,plates/plate.####.exr,plates/roto.####.exr,1001-ten,ACEScg,out2/a.####.exr,,",
        "sh030,plates/none.####.exr,plates/roto.####.exr,1001-1004,ACEScg,out3/a.####.exr,,",
        "sh040,plates/plate.####.exr,plates/roto.####.exr,1001-1004,ACEScg",
        "sh050,plates/plate.####.exr,plates/roto.####.exr,1001-1004,ACEScg,out5/a.####.exr,maybe,",
        '"sh060",plates/plate.####.exr,plates/roto.####.exr,"1001,1003",ACEScg,out6/a.####.exr,,',
    )
    found = read_shot_list(path, Config())
    assert [(name, str(job.frames)) for name, job in found.jobs] == [("sh010", "1001-1004"), ("sh060", "1001,1003")]
    assert (found.jobs[0][1].seed, found.jobs[0][1].grain) == (3, False)
    numbers = [line.partition(":")[0] for line in found.broken]
    assert numbers == ["line 5", "line 6", "line 7", "line 8"]
    assert "1001-ten" in found.broken[0]
    assert "none.1001.exr" in found.broken[1]
    assert "got 5 cells, expected 8" in found.broken[2]


def test_a_spreadsheets_semicolons_byte_order_mark_and_empty_columns_are_read(job, tmp_path):
    path = written(
        tmp_path / "shots.csv",
        "Shot;Plate;Remove;Colorspace;Output;invert_remove;;",
        "sh010;plates/plate.####.exr;plates/roto.####.exr;ACEScg;out/a.####.exr;yes;;",
        encoding="utf-8-sig",
    )
    found = read_shot_list(path, Config())
    assert not found.broken
    assert found.jobs[0][1].remove.invert


def test_a_line_may_name_a_job_file_and_change_it(job, tmp_path):
    JobFile(job).write(tmp_path / "a job.json")
    path = written(tmp_path / "shots.csv", "shot,job,seed,output", "x,a job.json,9,out9/x.####.exr")
    ((name, read),) = read_shot_list(path, Config()).jobs
    assert (name, read.seed, read.plate, read.engine) == ("x", 9, job.plate, "propagate")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("shot,plate,remov,output", "unknown column 'remov'; did you mean 'remove'"),
        ("shot,remove,output", "expected one called plate or job"),
        ("plate,plate,output", "appears twice"),
        ("", "expected one called plate or job"),
    ],
)
def test_columns_are_checked(tmp_path, head, words):
    with pytest.raises(UsageError, match=words):
        read_shot_list(written(tmp_path / "shots.csv", head), Config())


def test_a_list_that_is_missing_or_not_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read shot list"):
        read_shot_list(tmp_path / "none.csv", Config())
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00plate")
    with pytest.raises(InputError, match="UTF-8"):
        read_shot_list(tmp_path / "bytes.csv", Config())


# --- what a farm hears ---------------------------------------------------------------------------


def test_each_reporter_writes_lines_that_its_farm_reads():
    said = {}
    for kind in (OpenJobReporter, Deadline10Reporter, PlainReporter):
        stream = io.StringIO()
        lines = kind(stream)
        lines.progress(12.34)
        lines.progress(11)  # never backwards
        lines.status("two\nlines")
        lines.fail("why\nit failed")
        lines.progress(100)
        said[kind] = stream.getvalue().splitlines()
    assert said[OpenJobReporter] == [
        "openjd_progress: 12.3",
        "openjd_status: two lines",
        "openjd_fail: why it failed",
        "openjd_progress: 100.0",
    ]
    assert said[Deadline10Reporter] == ["Progress: 12%", "two lines", "failed: why it failed", "Progress: 100%"]
    assert said[PlainReporter][0] == "12.3 %"


def status(state="running", seconds=10.0, left=None, done=1, frames=4):
    return JobStatus("x", state, "propagate", frames, done, seconds=seconds, progress=Progress(seconds_left=left))


def test_progress_is_by_time_left_else_by_frames():
    assert percent_of(status(left=30)) == pytest.approx(25)
    assert percent_of(status()) == pytest.approx(25)
    assert percent_of(status(), there=4) == pytest.approx(62.5)


# --- following -----------------------------------------------------------------------------------


def test_tasks_are_followed_by_their_files(tmp_path):
    submission = SubmissionRecord("openjd", "7", "void a", "/bundle", "a", ("1-4", "5-8", "9-12"), 1.0)
    write_submission(tmp_path, submission)
    write_task(tmp_path, TaskState("1-4", "done", 100))
    write_task(tmp_path, TaskState("5-8", "running", 40))
    write_task(tmp_path, TaskState("9-12", "failed", 10, "no plate", "farm07"))
    tasks = read_tasks(tmp_path, submission)
    assert [(task.frames, task.state) for task in tasks] == [
        ("1-4", "done"),
        ("5-8", "running"),
        ("9-12", "failed"),
        (CHECK, "waiting"),
    ]
    assert summary(tasks) == "1 of 4 tasks done, 1 running (40 %), 1 failed: 9-12 on farm07: no plate"
    (tmp_path / "farm/5-8.json").write_text("{ half")
    assert read_tasks(tmp_path, submission)[1].state == "waiting"


def test_the_state_of_a_job_follows_from_its_tasks():
    def of(*states):
        return overall(tuple(TaskState(str(i), state) for i, state in enumerate(states)))

    assert of("waiting", "waiting") == "queued"
    assert of("done", "waiting") == "running"
    assert of("done", "running", "failed") == "running"
    assert of("done", "failed", "cancelled") == "failed"
    assert of("done", "cancelled") == "cancelled"
    assert of("done", "done") == "done"


def test_reports_of_tasks_become_one():
    one = {"engine": "propagate", "frames": 4, "seconds": 2.0, "seen_share": 0.5, "seconds_by_stage": {"fill": 1.5}}
    other = {"engine": "propagate", "frames": 6, "seconds": 3.0, "seen_share": 0.5, "seconds_by_stage": {"fill": 2.5}}
    whole = merged([{**one, "warnings": ["dark"]}, {**other, "warnings": ["dark", "grainy"]}])
    assert (whole["engine"], whole["seconds"], whole["seen_share"]) == ("propagate", 5.0, 0.5)
    assert whole["seconds_by_stage"] == {"fill": 4.0}
    assert whole["warnings"] == ["dark", "grainy"]
    assert merged([one, {**other, "engine": "void"}])["engine"] == "propagate, void"


def test_a_damaged_report_is_named(tmp_path):
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm/report_1-4.json").write_text("{")
    with pytest.raises(InputError, match=r"report_1-4\.json"):
        write_report(tmp_path, 4)


def test_missing_frames_are_those_not_on_disk(job, tmp_path):
    assert missing_frames(job, job.frames) == job.frames
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/clean.1003.exr").write_bytes(b"x")
    assert 1003 not in missing_frames(job, job.frames)


# --- hosts ---------------------------------------------------------------------------------------


def test_a_host_without_the_gpus_says_what_it_has(monkeypatch):
    monkeypatch.setattr(session, "gpu_memories_gb", lambda: [12.9, 25.8])
    session.check_host(0, 0)
    session.check_host(1, 24)
    session.check_host(2, 12)
    with pytest.raises(EngineError, match=r"asks for 2 GPU with 24 GB, this one has 13 GB, 26 GB"):
        session.check_host(2, 24)
    monkeypatch.setattr(session, "gpu_memories_gb", lambda: [])
    with pytest.raises(EngineError, match=r"this one has none"):
        session.check_host(1, 0)


def test_gpus_are_those_that_the_driver_tells_and_the_scheduler_allows(monkeypatch, tmp_path):
    fake = tmp_path / "nvidia-smi"  # a fake: it prints what the driver's tool prints for two cards
    fake.write_text("#!/bin/sh\necho 24564\necho 81559\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert session.gpu_memories_gb() == pytest.approx([25.76, 85.52], abs=0.01)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert session.gpu_memories_gb() == pytest.approx([85.52], abs=0.01)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert session.gpu_memories_gb() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert session.gpu_memories_gb() == []


def told_of(folder):
    [state] = read_tasks(folder, SubmissionRecord("openjd", "", "", "", "", ()))
    return state


def test_a_final_task_shows_as_running_and_how_far_it_is(tmp_path):
    with TaskProgress(tmp_path, CHECK, PlainReporter(io.StringIO())).tracked() as progress:
        progress.report(40, "frames 4 of 10")
        assert (told_of(tmp_path).state, told_of(tmp_path).percent) == ("running", 40)
        assert told_of(tmp_path).line == "frames 4 of 10" and told_of(tmp_path).host == platform.node()
        progress.report(100, "10 frames are there")
    assert (told_of(tmp_path).state, told_of(tmp_path).line) == ("done", "10 frames are there")


@pytest.mark.parametrize(("error", "state"), [(MissingFrames("7"), "failed"), (Cancelled("x"), "cancelled")])
def test_a_final_task_that_ends_early_says_why_and_how_far_it_came(tmp_path, error, state):
    with pytest.raises(type(error)), TaskProgress(tmp_path, CHECK, PlainReporter(io.StringIO())).tracked() as progress:
        progress.report(40, "frames 4 of 10")
        raise error
    assert (told_of(tmp_path).state, told_of(tmp_path).percent, told_of(tmp_path).line) == (state, 40, error.message)
