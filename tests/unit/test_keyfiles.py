"""Key files and the allow-list, which are read only if no other user could have written them."""

import json
import os
import sys

import pytest
import zmq

from tests.support.key_folders import make_key_folder
from void_bridge.cli.keys import KEYS, make_pair
from void_bridge.cli.main import main
from void_bridge.client.endpoint import find_endpoint
from void_bridge.config import Config
from void_bridge.errors import NoServer, Refused, UsageError
from void_bridge.keyfiles import KeyPair, check_folder, fingerprint, read_pair, read_public

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are not looked at on Windows")
needs_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="giving a file away needs root")


@pytest.fixture
def folder(tmp_path):
    """Return a key folder of `keys new --server` with one client on the allow-list."""
    return make_key_folder(tmp_path / "keys")


def test_keys_are_read_as_they_were_made(folder):
    pair = read_pair(folder / "client.key_secret")
    assert read_public(folder / "client.key") == pair.public == read_public(folder / "clients" / "anna.key")
    assert zmq.curve_public(pair.secret.encode()).decode() == pair.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o666])
def test_a_secret_that_others_can_read_or_change_is_refused(folder, mode):
    (folder / "client.key_secret").chmod(mode)
    with pytest.raises(Refused, match=r"others can .*client\.key_secret"):
        read_pair(folder / "client.key_secret")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o664])
def test_a_public_key_that_others_can_change_is_refused(folder, mode):
    (folder / "server.key").chmod(mode)
    with pytest.raises(Refused, match="others can change"):
        read_public(folder / "server.key")
    (folder / "server.key").chmod(0o644)
    assert read_public(folder / "server.key")


@needs_root
@pytest.mark.parametrize("name", ["server.key", "client.key_secret"])
def test_a_key_of_another_user_is_refused(folder, name):
    os.chown(folder / name, 12345, -1)
    with pytest.raises(Refused, match="another user"):
        read_public(folder / name) if name.endswith(".key") else read_pair(folder / name)


@pytest.mark.parametrize("name", ["server.key", "client.key_secret"])
def test_a_link_is_refused(folder, name):
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to(folder / "elsewhere")
    with pytest.raises(Refused, match="is a link"):
        read_public(folder / name) if name.endswith(".key") else read_pair(folder / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_is_refused_without_blocking(folder, make):
    (folder / "server.key").unlink()
    make(folder / "server.key")
    with pytest.raises(Refused, match="is not a file"):
        read_public(folder / "server.key")


def test_a_missing_key_is_named(folder):
    with pytest.raises(Refused, match=r"none\.key"):
        read_public(folder / "none.key")


@pytest.mark.parametrize("text", ["", "nonsense", 'public-key = "short"', "\0" * 1000, 'public-key = "' + "é" * 40])
def test_a_file_without_a_key_is_refused(folder, text):
    (folder / "server.key").write_text(text)
    with pytest.raises(Refused, match="no public key in it"):
        read_public(folder / "server.key")


def test_a_secret_on_the_allow_list_is_refused(folder):
    text = (folder / "client.key_secret").read_text()
    (folder / "clients" / "anna.key").write_text(text)
    with pytest.raises(Refused, match="holds a secret key") as error:
        read_public(folder / "clients" / "anna.key")
    assert read_pair(folder / "client.key_secret").secret not in error.value.message


def test_halves_of_different_pairs_are_refused(folder):
    other = zmq.curve_keypair()[1].decode()
    secret = folder / "client.key_secret"
    secret.write_text(secret.read_text().replace(read_pair(secret).secret, other))
    with pytest.raises(Refused, match="are not a pair") as error:
        read_pair(secret)
    assert other not in error.value.message


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_key_folder_that_others_can_write_is_refused(folder, mode):
    folder.chmod(mode)
    with pytest.raises(Refused, match="others can put keys into"):
        check_folder(folder)
    folder.chmod(0o755)
    check_folder(folder)


def test_a_folder_below_one_open_to_all_is_refused(folder):
    folder.parent.chmod(0o777)
    with pytest.raises(Refused, match="is writable for all"):
        check_folder(folder)
    folder.parent.chmod(0o1777)
    check_folder(folder)


@needs_root
def test_a_folder_of_another_user_is_refused(folder):
    os.chown(folder, 12345, -1)
    with pytest.raises(Refused, match="another user"):
        check_folder(folder)


def test_the_repr_of_a_pair_does_not_show_the_secret(folder):
    pair = read_pair(folder / "client.key_secret")
    assert pair.secret not in repr(pair) and isinstance(pair, KeyPair)


def test_fingerprints_of_two_keys_differ(folder):
    prints = {fingerprint(zmq.curve_keypair()[0].decode()) for _ in range(50)}
    assert len(prints) == 50 and all(len(text) == 19 for text in prints)


# --- a client's side ------------------------------------------------------------------------------


def config_of(tmp_path, folder):
    return Config(connect="tcp://gpu1:5570", keys=folder, runtime_dir=tmp_path / "run")


def test_a_client_uses_keys_that_only_its_user_can_read(tmp_path, folder):
    found = find_endpoint(config_of(tmp_path, folder))
    assert found.server_public == read_public(folder / "server.key")
    assert found.client_secret == read_pair(folder / "client.key_secret").secret
    assert found.client_secret not in repr(found)


@pytest.mark.parametrize("name, mode", [("client.key_secret", 0o640), ("server.key", 0o646), (".", 0o777)])
def test_a_client_refuses_keys_that_others_can_read_or_change(tmp_path, folder, name, mode):
    (folder / name).chmod(mode)
    with pytest.raises(Refused, match="others can"):
        find_endpoint(config_of(tmp_path, folder))


def test_missing_keys_are_reported(tmp_path):
    with pytest.raises(NoServer, match="keys new"):
        find_endpoint(config_of(tmp_path, tmp_path / "none"))


# --- the command ----------------------------------------------------------------------------------


def keys_json(capsys, *words):
    code = main(["keys", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def sent(tmp_path):
    """Return a key that another user has sent, readable by all."""
    make_pair(tmp_path / "bob", "client")
    (tmp_path / "bob" / "client.key").chmod(0o644)
    return tmp_path / "bob" / "client.key"


def test_a_client_is_let_in_listed_and_revoked(capsys, folder, sent):
    code, result = keys_json(capsys, "allow", "bob", sent, "--keys", folder)
    assert code == 0 and result["fingerprint"] == fingerprint(read_public(sent))
    _, result = keys_json(capsys, "list", "--keys", folder)
    assert [entry["name"] for entry in result["clients"]] == ["anna", "bob"] and result["problems"] == []
    assert {entry["name"]: entry["fingerprint"] for entry in result["clients"]}["bob"] == fingerprint(read_public(sent))
    assert keys_json(capsys, "revoke", "bob", "--keys", folder)[0] == 0
    _, result = keys_json(capsys, "list", "--keys", folder)
    assert [entry["name"] for entry in result["clients"]] == ["anna"]


def test_allowing_a_client_twice_changes_nothing(capsys, folder, sent):
    assert keys_json(capsys, "allow", "bob", sent, "--keys", folder)[0] == 0
    assert keys_json(capsys, "allow", "bob", sent, "--keys", folder)[0] == 0
    assert (folder / "clients" / "bob.key").stat().st_mode & 0o777 == 0o600


def test_a_name_has_one_key_and_a_key_one_name(capsys, folder, sent):
    """Refuse both, since revoking one name would leave the key allowed under the other."""
    code, result = keys_json(capsys, "allow", "anna", sent, "--keys", folder)
    assert code == 1 and "another key" in result["error"]["message"]
    keys_json(capsys, "allow", "bob", sent, "--keys", folder)
    code, result = keys_json(capsys, "allow", "robert", sent, "--keys", folder)
    assert code == 1 and "already allowed, as bob" in result["error"]["message"]


def test_a_secret_is_not_let_in_and_not_shown(capsys, folder, sent):
    secret = sent.with_name("client.key_secret")
    code, result = keys_json(capsys, "allow", "bob", secret, "--keys", folder)
    assert code == 1 and "its owner must not share" in result["error"]["message"]
    assert read_pair(secret).secret not in json.dumps(result) and not (folder / "clients" / "bob.key").exists()


@pytest.mark.parametrize("name", ["../anna", "a/b", "", ".anna", "a b", "é"])
def test_a_name_that_could_be_a_path_is_refused(folder, sent, name):
    with pytest.raises(UsageError, match="expected letters"):
        run_keys("allow", name, sent, "--keys", folder)


def run_keys(*words):
    from tests.support.commands import run_command

    return run_command(KEYS, *words)


def test_revoking_an_unknown_client_lists_the_known_ones(capsys, folder):
    code, result = keys_json(capsys, "revoke", "carl", "--keys", folder)
    assert code == 2 and "the allow-list; it has anna" in result["error"]["message"]


def test_a_list_with_a_bad_key_still_lists(capsys, folder):
    (folder / "clients" / "anna.key").chmod(0o666)
    (folder / "clients").chmod(0o777)
    _, result = keys_json(capsys, "list", "--keys", folder)
    assert "others can change" in result["clients"][0]["problem"]
    assert any("others can put keys into" in problem for problem in result["problems"])


def test_keys_are_not_made_in_a_folder_that_others_can_write(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o777)
    with pytest.raises(Refused, match="others can put keys into"):
        make_pair(tmp_path / "keys", "client")
    assert list((tmp_path / "keys").iterdir()) == []


def test_keys_are_made_in_a_new_folder(tmp_path):
    assert read_pair(make_pair(tmp_path / "a" / "b" / "keys", "client"))
