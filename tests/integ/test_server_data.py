"""Blobs in and frames out over a real data socket, and clients that do it wrong."""

import threading
from pathlib import Path

import pytest

from tests.support.live_server import Client, digest_of, eventually, make_plate, make_submit, running, settings
from void_bridge.errors import InputError, MissingFrames, ProtocolError, Refused
from void_bridge.protocol.messages import Get, GetStatus, ListJobs, Put


@pytest.fixture
def served(tmp_path):
    with running(settings(tmp_path, upload_patience_s=0.2)) as server, Client.of(server.settings) as client:
        yield client


@pytest.fixture
def wanted(served, tmp_path):
    """Return a blob of several parts that a submitted job lacks."""
    submit = make_submit(make_plate(tmp_path / "plates", "1", size=5_000_000), frames="1")
    served.submit(submit)
    return submit, Path(submit.inputs[0].path).read_bytes()


def parts_of(data, part_bytes):
    return [(offset, data[offset : offset + part_bytes]) for offset in range(0, len(data), part_bytes)]


def incoming(tmp_path):
    return list((tmp_path / "spool" / "incoming").iterdir())


def test_each_part_gives_its_credit_back_and_the_last_one_is_durable(served, wanted, tmp_path):
    submit, data = wanted
    digest = submit.inputs[0].digest
    answers = [
        served.data.ask(Put(digest, len(data), offset), part)
        for offset, part in parts_of(data, served.data.welcome.part_bytes)
    ]
    assert [answer.received for answer in answers] == [2**21, 2**22, len(data)]
    assert [answer.stored for answer in answers] == [False, False, True]
    assert (tmp_path / "spool" / "blobs" / digest[:2] / digest).read_bytes() == data
    assert served.status(submit.id).state != "receiving"


def test_bytes_of_another_digest_are_refused_and_may_be_put_again(served, wanted, tmp_path):
    submit, data = wanted
    with pytest.raises(InputError, match="do not match its digest"):
        served.put(bytes(len(data)), submit.inputs[0].digest)
    assert served.put(data, submit.inputs[0].digest).stored
    eventually(lambda: not incoming(tmp_path))


def test_a_blob_that_no_job_lacks_is_refused(served):
    with pytest.raises(Refused, match="no submitted job lacks"):
        served.data.ask(Put(digest_of(b"x"), 1, 0), b"x")


def test_a_blob_of_another_size_is_refused(served, wanted):
    submit, data = wanted
    with pytest.raises(ProtocolError, match="blob of 5000000 bytes"):
        served.data.ask(Put(submit.inputs[0].digest, len(data) + 1, 0), data[:10])


def test_parts_out_of_order_are_refused_and_the_blob_begins_anew(served, wanted):
    submit, data = wanted
    with pytest.raises(ProtocolError, match="in order, from 0"):
        served.data.ask(Put(submit.inputs[0].digest, len(data), 100), data[:100])
    assert served.put(data, submit.inputs[0].digest).stored


def test_a_part_beyond_the_end_is_refused(served, wanted):
    submit, data = wanted
    digest, part_bytes = submit.inputs[0].digest, served.data.welcome.part_bytes
    served.data.ask(Put(digest, len(data), 0), data[:part_bytes])
    served.data.ask(Put(digest, len(data), part_bytes), data[:part_bytes])
    with pytest.raises(ProtocolError, match="at 4194304"):
        served.data.ask(Put(digest, len(data), 2 * part_bytes), data[:part_bytes])


def test_a_part_over_the_cap_is_refused(served, wanted):
    submit, data = wanted
    with pytest.raises(ProtocolError, match="send larger files in parts"):
        served.data.ask(Put(submit.inputs[0].digest, len(data), 0), data[: served.data.welcome.part_bytes + 1])


def test_an_empty_file_is_a_blob(served, tmp_path):
    submit = make_submit(make_plate(tmp_path / "empty", "1", size=0), frames="1")
    served.submit(submit)
    assert served.put(b"").stored


def test_two_clients_may_put_the_same_blob_at_once(served, wanted, tmp_path):
    submit, data = wanted
    digest = submit.inputs[0].digest
    with Client.of(settings(tmp_path)) as other:
        peers = (served.data, other.data)
        for offset, part in parts_of(data, served.data.welcome.part_bytes):
            numbers = [peer.send(Put(digest, len(data), offset), part) for peer in peers]
            last = [peer.answer(number).message for peer, number in zip(peers, numbers)]
    assert all(answer.stored for answer in last)
    served.reaches(submit.id, "done")


def test_two_clients_that_race_with_the_same_blobs_each_get_every_answer(served, tmp_path):
    submit = make_submit(make_plate(tmp_path / "plates", "1-12", size=7_000_000), frames="1-12")
    served.submit(submit)
    part_bytes = served.data.welcome.part_bytes
    with Client.of(settings(tmp_path)) as other:
        for item in submit.inputs:
            data = Path(item.path).read_bytes()
            numbers = [
                (peer, peer.send(Put(item.digest, item.size, offset), part))
                for offset, part in parts_of(data, part_bytes)
                for peer in (served.data, other.data)
            ]
            answers = [peer.answer(number).message for peer, number in numbers]
            assert [answer.stored for answer in answers[-2:]] == [True, True]
    served.reaches(submit.id, "done")
    eventually(lambda: not incoming(tmp_path))


def test_a_client_that_goes_away_leaves_nothing_and_another_completes_the_job(served, wanted, tmp_path):
    submit, data = wanted
    with Client.of(settings(tmp_path)) as gone:
        gone.data.ask(Put(submit.inputs[0].digest, len(data), 0), data[: served.data.welcome.part_bytes])
        assert incoming(tmp_path)
    eventually(lambda: not incoming(tmp_path))
    assert served.submit(submit).missing == (submit.inputs[0].digest,)
    assert served.put(data, submit.inputs[0].digest).stored
    served.reaches(submit.id, "done")


def test_more_parts_than_the_window_are_refused(tmp_path):
    held, window = threading.Event(), 8
    plate = make_plate(tmp_path / "plates", "1")
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        submit = make_submit(plate, frames="1")
        client.upload(submit)
        client.reaches(submit.id, "done")
        for _ in range(8):
            server._pool.submit(held.wait)  # nothing can be read from disk any more
        numbers = [client.data.send(Get(submit.id, 1, 0)) for _ in range(window)]
        with pytest.raises(ProtocolError, match="more than 8 parts at once"):
            client.data.ask(Get(submit.id, 1, 0))
        held.set()
        assert all(client.data.answer(number).buffers for number in numbers)


def test_a_frame_that_is_not_published_is_an_error(served, wanted):
    submit, _ = wanted
    with pytest.raises(MissingFrames, match="has not published frame 1"):
        served.data.ask(Get(submit.id, 1, 0))


def test_an_offset_behind_the_end_is_an_error(served, wanted):
    submit, data = wanted
    served.put(data, submit.inputs[0].digest)
    frame = served.result_of(submit.id).frames or (
        served.reaches(submit.id, "done") and served.result_of(submit.id).frames
    )
    with pytest.raises(ProtocolError, match="offset"):
        served.data.ask(Get(submit.id, 1, frame[0].size + 1))


def test_a_frame_that_was_deleted_from_the_disk_is_an_error(served, wanted):
    submit, data = wanted
    served.put(data, submit.inputs[0].digest)
    served.reaches(submit.id, "done")
    Path(served.result_of(submit.id).frames[0].path).unlink()
    with pytest.raises(Exception, match="is no longer on") as caught:
        served.data.ask(Get(submit.id, 1, 0))
    assert caught.value.code == "server"


def test_a_request_on_the_wrong_socket_is_an_error(served):
    with pytest.raises(ProtocolError, match="on the data socket"):
        served.data.ask(ListJobs())
    with pytest.raises(ProtocolError, match="on the control socket"):
        served.control.ask(Get("job", 1, 0))
    with pytest.raises(ProtocolError, match="on the control socket"):
        served.control.ask(Put(digest_of(b""), 0, 0), b"")


def test_a_job_whose_submitter_went_away_does_not_hold_its_output(tmp_path):
    impatient = settings(tmp_path, upload_patience_s=0.0, ping_deadline_s=0.2)
    plate = make_plate(tmp_path / "plates")
    with running(impatient), Client.of(impatient) as client:
        with Client.of(impatient) as gone:
            first = make_submit(plate, output="/out/a.####.exr")
            gone.submit(first)
        second = make_submit(plate, output="/out/a.####.exr")

        def accepted():
            try:
                return client.submit(second)
            except Refused:
                return None

        assert eventually(accepted)
        assert client.control.ask(GetStatus(first.id)).status.state == "cancelled"
