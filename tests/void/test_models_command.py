"""`void-bridge models`: check, fetch from a hub on loopback, init-tiny."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpu_server.engines.void.checkpoint.layout import BASE_NAME, pass_name
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from tests.support.hub_server import HubServer, hub_server
from void_bridge.cli.main import main
from void_bridge.errors import DiskFull, InputError, NoServer, OutputError, Refused

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install void-bridge[void]")
pytest.importorskip("sentencepiece", reason="sentencepiece is not installed: pip install void-bridge[void]")

from gpu_server.engines.void.checkpoint.fetch import (
    Hub,
    HubFile,
    RemoteFile,
    check_disk,
    fetch,
    wanted_files,
)

BASE, PASSES = f"alibaba-pai/{BASE_NAME}", "netflix/void-model"


@dataclass
class Published:
    server: HubServer
    base: Path
    passes: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "models"
    write_tiny(folder)
    return folder


@pytest.fixture
def published(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """Serve the tiny checkpoint as the hub serves the published one, with model cards."""
    base, passes = tmp_path / "hub/base", tmp_path / "hub/passes"
    shutil.copytree(tiny, base)
    passes.mkdir()
    for number in (1, 2):
        (base / pass_name(number)).rename(passes / pass_name(number))
    for folder in (base, passes):
        (folder / "README.md").write_text("a model card")
    with hub_server({BASE: base, PASSES: passes}) as server:
        point_to(server.endpoint, monkeypatch)
        yield Published(server, base, passes)


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the hub's address of a client that is imported already, as HF_ENDPOINT does at import."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def run(*words: object, endpoint: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which reads the hub's address from the environment."""
    code = "import sys; from void_bridge.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", code, "models", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_tiny_checkpoint_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models"
    assert main(["models", "init-tiny", str(folder), "--seed", "3"]) == 0
    assert main(["models", "check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "pass 2" in shown and "not the published size" in shown
    assert "licence of pass 1, pass 2: Apache-2.0" in shown and "CogVideoX License" in shown
    assert main(["models", "init-tiny", str(folder)]) == OutputError.exit_code
    assert "not empty" in capsys.readouterr().err


def test_every_action_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {action}" in shown for action in ("check", "fetch", "init-tiny", "plan"))


def test_check_loads_no_model_library(tiny: Path) -> None:
    code = (
        "import sys; from void_bridge.cli.main import main; code = main();"
        " sys.exit(code or bool({'torch', 'diffusers', 'transformers', 'huggingface_hub'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, "models", "check", str(tiny)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def test_the_check_of_a_damaged_folder_says_what_to_get(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "models"))
    (folder / "void_pass2.safetensors").unlink()
    assert main(["models", "check", str(folder)]) == 1
    seen = capsys.readouterr()
    assert f"-> pass 2: get void_pass2.safetensors of {PASSES} into {folder}" in seen.out
    assert "models fetch" in seen.err
    assert main(["models", "check", str(folder), "--passes", "1"]) == 0


def test_the_check_prints_json_and_takes_the_configured_folder(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOID_BRIDGE_MODELS", str(tiny))
    assert main(["models", "check", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["whole"] and printed["folder"] == str(tiny)
    assert {"part", "state", "detail", "fix", "licence", "size", "path"} <= printed["parts"][0].keys()


def test_fetch_downloads_the_needed_files_alone(published: Published, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    done = run("fetch", folder, "--json", endpoint=published.server.endpoint)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["whole"]
    brought = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert brought == {
        "void_pass1.safetensors",
        "void_pass2.safetensors",
        f"{BASE_NAME}/transformer/config.json",
        f"{BASE_NAME}/vae/config.json",
        f"{BASE_NAME}/vae/diffusion_pytorch_model.safetensors",
        f"{BASE_NAME}/text_encoder/config.json",
        f"{BASE_NAME}/text_encoder/model.safetensors",
        f"{BASE_NAME}/tokenizer/special_tokens_map.json",
        f"{BASE_NAME}/tokenizer/spiece.model",
        f"{BASE_NAME}/tokenizer/tokenizer_config.json",
        f"{BASE_NAME}/scheduler/scheduler_config.json",
    }
    published.server.ranges.clear()
    (folder / "void_pass1.safetensors").unlink()
    again = run("fetch", folder, "--passes", 1, "--base-weights", endpoint=published.server.endpoint)
    assert again.returncode == 0, again.stderr
    assert set(published.server.ranges) == {"void_pass1.safetensors", "transformer/diffusion_pytorch_model.safetensors"}


def test_fetch_offline_names_the_files_and_their_places(tmp_path: Path) -> None:
    done = run("fetch", tmp_path / "models", endpoint="http://127.0.0.1:9")
    assert done.returncode == NoServer.exit_code
    assert "cannot reach http://127.0.0.1:9" in done.stderr and BASE in done.stderr and PASSES in done.stderr
    assert str(tmp_path / "models" / BASE_NAME) in done.stderr and "void_pass1.safetensors" in done.stderr
    assert not (tmp_path / "models").exists()


def test_an_unknown_repository_or_revision_is_named(published: Published, tmp_path: Path) -> None:
    for words, answer in (
        (("--passes-repo", "nobody/nothing"), "has no repository nobody/nothing"),
        (("--revision", "v9"), "has no revision v9"),
    ):
        done = run("fetch", tmp_path / "models", *words, endpoint=published.server.endpoint)
        assert done.returncode == 2 and answer in done.stderr


def wanted(folder: Path, name: str) -> RemoteFile:
    files = wanted_files(Hub(), folder)
    return next(file for file in files if file.target.name == name)


def test_a_download_resumes_where_it_stopped(published: Published, tmp_path: Path) -> None:
    file = wanted(tmp_path / "models", "void_pass1.safetensors")
    whole = (published.passes / "void_pass1.safetensors").read_bytes()
    file.partial.parent.mkdir(parents=True)
    file.partial.write_bytes(whole[:700_001])
    assert file.missing_bytes == len(whole) - 700_001
    fetch(Hub(), file)
    assert file.target.read_bytes() == whole and not file.partial.exists()
    assert published.server.ranges["void_pass1.safetensors"] == ["bytes=700001-"]
    fetch(Hub(), file)
    assert len(published.server.ranges["void_pass1.safetensors"]) == 1


def test_a_partial_download_of_an_older_file_is_not_resumed(published: Published, tmp_path: Path) -> None:
    older = wanted(tmp_path / "models", "void_pass1.safetensors")
    older.partial.parent.mkdir(parents=True)
    older.partial.write_bytes(b"of another revision")
    write_tiny(tmp_path / "newer", seed=9)
    shutil.copy(tmp_path / "newer/void_pass1.safetensors", published.passes)
    file = wanted(tmp_path / "models", "void_pass1.safetensors")
    fetch(Hub(), file)
    assert file.target.read_bytes() == (published.passes / "void_pass1.safetensors").read_bytes()


def test_a_download_with_a_wrong_checksum_is_removed(published: Published, tmp_path: Path) -> None:
    published.server.sha256_lies = True
    file = wanted(tmp_path / "models", "void_pass2.safetensors")
    with pytest.raises(InputError, match="another checksum"):
        fetch(Hub(), file)
    assert not file.target.exists() and not file.partial.exists()


def test_a_repository_that_lacks_a_file_is_named(published: Published, tmp_path: Path) -> None:
    (published.passes / "void_pass2.safetensors").unlink()
    with pytest.raises(Refused, match=r"netflix/void-model has no void_pass2"):
        wanted_files(Hub(), tmp_path)


def test_a_path_that_leads_outside_the_folder_is_refused(published: Published, tmp_path: Path) -> None:
    published.server.extra_name = "tokenizer/../../../outside.json"
    with pytest.raises(OutputError, match="outside"):
        wanted_files(Hub(), tmp_path / "models")


def test_a_disk_that_is_too_small_is_named_before_any_download(tmp_path: Path) -> None:
    huge = RemoteFile(PASSES, HubFile("void_pass1.safetensors", 1 << 60, "etag", ""), tmp_path / "a/x")
    with pytest.raises(DiskFull, match="GB free"):
        check_disk([huge], tmp_path / "a")
    assert not (tmp_path / "a").exists()
