"""Findings of `void-bridge doctor` about damaged keys. Each fix is run and must help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.key_folders import make_key_folder
from void_bridge.cli.findings import Finding
from void_bridge.cli.findings.keys import key_findings
from void_bridge.cli.keys import make_pair
from void_bridge.config import Config
from void_bridge.keyfiles import fingerprint, read_pair, read_public

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are not looked at on Windows")
needs_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a file away needs root")


@pytest.fixture
def folder(tmp_path):
    return make_key_folder(tmp_path / "keys")


def check(folder, connect=""):
    return list(key_findings(Config(keys=folder, connect=connect)))


def bad_finding(folder):
    (finding,) = (one for one in check(folder) if one.state == "bad")
    return finding


def fixed(folder, fix):
    """Run the command of a fix and return the findings after it."""
    subprocess.run(fix.split(";")[0], shell=True, check=True)
    return check(folder)


def test_sound_keys_are_ok(folder):
    theirs = fingerprint(read_public(folder / "server.key"))
    assert check(folder) == [Finding("keys", "ok", f"{folder}; the server's is {theirs}")]


def test_missing_keys_matter_only_for_servers_on_other_machines(tmp_path):
    (alone,) = check(tmp_path / "none")
    (away,) = check(tmp_path / "none", "tcp://gpu1:5570")
    assert alone.state == "ok" and "only needed for servers on other machines" in alone.detail
    assert away.state == "note" and "lacks client.key_secret and server.key" in away.detail
    assert away.fix == "run void-bridge keys new, and get server.key from the server's administrator"


def test_a_missing_server_key_is_named(folder):
    (folder / "server.key").unlink()
    (finding,) = check(folder, "tcp://gpu1:5570")
    assert finding.state == "note" and finding.detail == f"{folder} lacks server.key"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_secret_that_others_can_read_or_change_is_bad(folder, mode):
    path = folder / "client.key_secret"
    path.chmod(mode)
    finding = bad_finding(folder)
    assert finding.detail.startswith("others can ") and finding.fix.startswith(f"chmod 600 {path};")
    assert [one.state for one in fixed(folder, finding.fix)] == ["ok"]


@pytest.mark.parametrize("name", ["server.key", "clients/anna.key"])
def test_a_public_key_that_others_can_change_is_bad(folder, name):
    (folder / name).chmod(0o666)
    finding = bad_finding(folder)
    assert finding.fix.startswith(f"chmod 600 {folder / name};")
    assert [one.state for one in fixed(folder, finding.fix)] == ["ok"]


@pytest.mark.parametrize("name", [".", "clients"])
def test_a_folder_that_others_can_write_is_bad(folder, name):
    place = folder / name
    place.chmod(0o777)
    finding = next(one for one in check(folder) if one.state == "bad")
    assert finding.fix.startswith(f"chmod go-w {place};")
    assert [one.state for one in fixed(folder, finding.fix)] == ["ok"]


def test_a_folder_below_one_that_is_open_to_all_is_bad(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    make_pair(tmp_path / "open" / "keys", "client")
    (tmp_path / "open").chmod(0o777)
    finding = bad_finding(tmp_path / "open" / "keys")
    assert "is writable for all" in finding.detail and "VOID_BRIDGE_KEYS" in finding.fix


def test_keys_of_different_pairs_are_bad(folder):
    shutil.copyfile(folder / "server.key", folder / "client.key")
    finding = bad_finding(folder)
    assert finding.detail.startswith("client.key is not the public key of client.key_secret")
    assert fingerprint(read_pair(folder / "client.key_secret").public) in finding.detail
    assert finding.fix.startswith(f"rm {folder / 'client.key_secret'}, then run void-bridge keys new")


def test_a_secret_file_whose_keys_are_no_pair_is_bad(folder):
    path = folder / "client.key_secret"
    public = read_pair(path).public
    path.write_text(path.read_text().replace(public, read_public(folder / "server.key")))
    assert "are not a pair" in bad_finding(folder).detail


def test_a_secret_on_the_allow_list_is_bad(folder):
    (folder / "clients" / "bob.key").write_bytes((folder / "client.key_secret").read_bytes())
    assert "holds a secret key, which must stay with its owner" in bad_finding(folder).detail


def test_a_key_that_is_a_link_is_bad(folder, tmp_path):
    (folder / "server.key").rename(tmp_path / "server.key")
    (folder / "server.key").symlink_to(tmp_path / "server.key")
    finding = bad_finding(folder)
    assert (
        "is a link" in finding.detail
        and finding.fix == f"replace the link {folder / 'server.key'} with a copy of the file"
    )


@needs_root
def test_a_key_of_another_user_is_bad(folder):
    os.chown(folder / "server.key", 61001, 61001)
    finding = bad_finding(folder)
    assert "belongs to another user" in finding.detail and finding.fix.startswith("copy it, so that you own it")


def test_findings_show_no_secret(folder):
    secrets = [read_pair(path).secret for path in folder.glob("*.key_secret")]
    for path in folder.glob("*.key_secret"):
        path.chmod(0o644)
    shutil.copyfile(folder / "server.key", folder / "client.key")
    finding = repr(check(folder))
    assert len(secrets) == 2 and not any(secret in finding for secret in secrets)
