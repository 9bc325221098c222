"""The back end for AWS Deadline Cloud: the client is a fake, and the bundle is read by the vendor's own code."""

import os
import sys

import pytest

from host_plugins.farm.backends.deadline_cloud import DeadlineCloud
from host_plugins.farm.options import CompRender, FarmOptions
from tests.support.farm_bundles import calls_in, fake_program, farm_bundle
from void_bridge.errors import ServerError, UsageError
from void_bridge.frames import FrameRange

JOB, QUEUE = "job-0123456789abcdef0123456789abcdef", "queue-fedcba9876543210fedcba9876543210"

# In the words of `deadline bundle submit` and `deadline job get`, from the source of PyPI deadline 0.60.10.
SUBMITTED = f"""Submitting to Queue: Renders

Waiting for Job to be created...
FarmReceipt job bundle:
   /shows/bundle
Create Complete
{JOB}
Job URL: https://example.com/jobs/{JOB.replace("job", "of")}
"""
GOT = f"""jobId: {JOB}
name: void sh010
lifecycleStatus: CREATE_COMPLETE
lifecycleStatusMessage: Job creation completed successfully
priority: 50
createdAt: 2026-11-26T10:00:00+00:00
taskRunStatus: RUNNING
taskRunStatusCounts:
  FAILED: 1
  READY: 2
  RUNNING: 2
  SUCCEEDED: 3
estimatedTimeRemaining: N/A
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a fake `deadline` on the PATH: answers -> the file of its calls."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return lambda *answers: fake_program(tmp_path / "bin" / "deadline", list(answers))


def test_the_client_gets_the_bundle_and_its_id_comes_back(client, tmp_path):
    calls, heard = client((SUBMITTED, 0)), []
    options = FarmOptions(priority=70, pool=QUEUE)
    bundle = farm_bundle(tmp_path / "sh é", options)
    submitted = DeadlineCloud().submit(bundle, options, heard.append)
    assert submitted.id == f"{QUEUE}/{JOB}" and JOB in submitted.words
    (arguments,) = calls_in(calls)
    assert arguments[:3] == ["bundle", "submit", "--yes"] and arguments[-1] == str(bundle.folder)
    assert {"--priority=70", f"--queue-id={QUEUE}", "--name=void sh010"} <= set(arguments)
    plates, frames = tmp_path / "sh é" / "in sh010", tmp_path / "sh é" / "in sh010" / "clean"
    known = [each for each in arguments if each.startswith("--known-asset-path=")]
    assert known == [f"--known-asset-path={plates}", f"--known-asset-path={frames}"]
    assert heard[0] == "Submitting to Queue: Renders"


def test_every_option_is_one_of_the_real_client(client, tmp_path):
    pytest.importorskip("deadline")
    from deadline.client.cli import main as deadline

    calls = client((SUBMITTED, 0), (GOT, 0))
    options = FarmOptions(pool=QUEUE)
    DeadlineCloud().submit(farm_bundle(tmp_path, options), options, lambda line: None)
    DeadlineCloud().status(f"{QUEUE}/{JOB}")
    for group, command, *arguments in calls_in(calls):
        found = deadline.commands[group].commands[command]
        found.make_context(command, arguments)  # raises for what it does not know; nothing is run


def test_the_clients_own_queue_is_used_where_none_is_named(client, tmp_path):
    calls = client((SUBMITTED, 0))
    assert DeadlineCloud().submit(farm_bundle(tmp_path), FarmOptions(), lambda line: None).id == JOB
    assert not any(each.startswith("--queue-id") for each in calls_in(calls)[0])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("Missing the following required parameter: farm_id\n", 1), "farm_id"),
        (
            ("Job submission canceled (settings.auto_accept enabled and there were unknown paths).\n", 1),
            "unknown paths",
        ),
        (("Submitting to Queue: Renders\n", 0), "returned no job id"),
    ],
)
def test_a_client_that_takes_no_job_is_a_server_error(client, tmp_path, answer, words):
    client(answer)
    with pytest.raises(ServerError, match=words):
        DeadlineCloud().submit(farm_bundle(tmp_path), FarmOptions(), lambda line: None)


def test_dependencies_and_other_pools_are_refused_before_the_client_runs(client, tmp_path):
    calls, bundle = client(), farm_bundle(tmp_path)
    with pytest.raises(UsageError, match="--then-comp"):
        DeadlineCloud().submit(bundle, FarmOptions(depends_on=(JOB,)), lambda line: None)
    with pytest.raises(UsageError, match=r"'gpu'.*id of a queue"):
        DeadlineCloud().submit(bundle, FarmOptions(pool="gpu"), lambda line: None)
    assert not calls.exists()


def test_without_a_client_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UsageError, match=r"pip install deadline.*deadline config"):
        DeadlineCloud().submit(farm_bundle(tmp_path), FarmOptions(), lambda line: None)


def test_the_client_next_to_this_python_is_used(tmp_path, monkeypatch):
    fake_program(tmp_path / "venv" / ("deadline.exe" if os.name == "nt" else "deadline"), [(SUBMITTED, 0)])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert DeadlineCloud().submit(farm_bundle(tmp_path), FarmOptions(), lambda line: None).id == JOB


def test_status_is_one_line_with_the_tasks(client):
    calls = client((GOT, 0))
    assert DeadlineCloud().status(f"{QUEUE}/{JOB}") == "running: 3 of 8 tasks done, 2 running, 1 failed"
    assert calls_in(calls) == [["job", "get", f"--job-id={JOB}", f"--queue-id={QUEUE}"]]


def test_a_job_that_failed_to_be_created_has_its_reason_as_status(client):
    client(("lifecycleStatus: CREATE_FAILED\nlifecycleStatusMessage: no fleet fits\nestimatedTimeRemaining: N/A\n", 0))
    assert DeadlineCloud().status(JOB) == "create_failed: no fleet fits"


@pytest.mark.parametrize("answer", [("Failed to get Job from Deadline:\nno such job\n", 1), ("- a\n- list\n", 0)])
def test_a_status_that_cannot_be_read_raises_a_server_error(client, answer):
    client(answer)
    with pytest.raises(ServerError):
        DeadlineCloud().status(JOB)


def _vendor_reads(bundle):
    """As the client does before it submits: the service's own parameters, the job's, and its assets."""
    pytest.importorskip("deadline")
    from deadline.client.job_bundle import loader, parameters, submission

    folder = str(bundle.folder)
    loader.validate_directory_symlink_containment(folder)
    read = parameters.read_job_bundle_parameters(folder)
    assets = submission.AssetReferences.from_dict(loader.read_yaml_or_json_object(folder, "asset_references", False))
    parameters.apply_job_parameters([], folder, read, assets)
    return (*submission.split_parameter_args(read, folder), assets)


def test_the_vendors_code_reads_parameters_and_assets(tmp_path):
    bundle = farm_bundle(tmp_path / "sh é", FarmOptions(priority=60, parameters={"VoidBridge": "/opt/void bridge/vb"}))
    service, job, assets = _vendor_reads(bundle)
    assert service == {"priority": 60}
    assert job["VoidBridge"] == {"string": "/opt/void bridge/vb"}
    assert job["Jobs"] == {"path": str(bundle.jobs)}
    folder = tmp_path / "sh é" / "in sh010"
    assert assets.input_filenames == {str(path) for path in folder.glob("*.exr")} and len(assets.input_filenames) == 12
    assert assets.input_directories == {str(bundle.jobs)}
    assert assets.output_directories == {str(folder / "clean")}


def test_the_vendors_code_takes_the_comp_as_a_file_to_send(tmp_path):
    script = tmp_path / "comp.nk"
    script.write_text("Root {}\n")
    comp = CompRender(str(script), FrameRange(range(1001, 1003)))
    options = FarmOptions(comp=comp, parameters={"CompScript": str(script)})
    _, job, assets = _vendor_reads(farm_bundle(tmp_path / "shot", options))
    assert job["CompScript"] == {"path": str(script)} and str(script) in assets.input_filenames


def test_the_vendors_code_refuses_a_bundle_that_lacks_a_value(tmp_path):
    """So that the tests above can fail."""
    bundle = farm_bundle(tmp_path, FarmOptions())
    template = bundle.folder / "template.yaml"
    template.write_text(template.read_text("utf-8").replace("  default: jobs\n", ""), "utf-8")
    with pytest.raises(Exception, match="No parameter value"):
        _vendor_reads(bundle)


def test_the_service_knows_no_dependency_between_jobs():
    """What `--depends-on` is refused for, in the service's own model."""
    loaders = pytest.importorskip("botocore.loaders")
    shape = loaders.Loader().load_service_model("deadline", "service-2")["shapes"]["CreateJobRequest"]["members"]
    assert "priority" in shape and not [name for name in shape if "depend" in name.lower()]
