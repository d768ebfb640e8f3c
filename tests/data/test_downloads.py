"""Downloads from a server that misbehaves in every way we know of."""

import errno
import hashlib
import os
import threading

import filelock
import pytest
from servers import cut_short, good, html, in_turn, redirect, respond, serve

from helpers.data import downloads

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "model.caffemodel"


def part(path):
    return path.with_name(path.name + ".part")


def leftovers(path):
    return sorted(file.name for file in path.parent.iterdir() if file != path)


@pytest.mark.parametrize("digest", [SHA256, f"sha1:{hashlib.sha1(CONTENT).hexdigest()}", None])
def test_a_file_arrives_whole_and_is_not_fetched_twice(path, digest, capsys):
    with serve(file=good(CONTENT)) as (address, requests):
        for _ in range(2):
            assert downloads.fetch(path, [f"{address}/file"], digest) == path
    assert path.read_bytes() == CONTENT and leftovers(path) == []
    assert len(requests) == 1
    assert "model.caffemodel" in capsys.readouterr().out, "the progress names the file"


def test_a_file_that_is_there_and_is_another_is_named_and_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"a student's own file")
    with pytest.raises(ValueError, match="model.caffemodel is not the file it should be.*Delete it"):
        downloads.fetch(path, [], SHA256)
    assert path.read_bytes() == b"a student's own file"


@pytest.mark.parametrize("digest", [SHA256, None])
def test_a_transfer_cut_short_is_gone_on_with(path, digest):
    with serve(file=in_turn(cut_short(CONTENT, 30_000), cut_short(CONTENT, 30_000), good(CONTENT))) as (
        address,
        requests,
    ):
        for kept in (30_000, 60_000):
            with pytest.raises(ConnectionError, match="cut short") as error:
                downloads.fetch(path, [f"{address}/file"], digest)
            assert f"{address}/file" in str(error.value) and str(path) in str(error.value)
            assert f"goes on from the {kept:,} bytes" in str(error.value)
            assert part(path).read_bytes() == CONTENT[:kept] and not path.exists()
        downloads.fetch(path, [f"{address}/file"], digest)
    assert path.read_bytes() == CONTENT and leftovers(path) == []
    assert [headers.get("Range") for _, headers in requests] == [None, "bytes=30000-", "bytes=60000-"]
    assert [headers.get("If-Range") for _, headers in requests] == [None, '"one"', '"one"']


def test_the_next_source_goes_on_where_the_first_was_cut_short(path):
    with serve(first=cut_short(CONTENT, 50_000), second=good(CONTENT, '"two"')) as (address, requests):
        downloads.fetch(path, [f"{address}/first", f"{address}/second"], SHA256)
    assert path.read_bytes() == CONTENT
    assert requests[1][1]["Range"] == "bytes=50000-" and "If-Range" not in requests[1][1]


def test_without_a_checksum_two_sources_are_never_mixed(path):
    with serve(first=cut_short(CONTENT, 50_000), second=good(CONTENT[::-1])) as (address, requests):
        downloads.fetch(path, [f"{address}/first", f"{address}/second"])
    assert path.read_bytes() == CONTENT[::-1] and "Range" not in requests[1][1]


def test_a_server_that_ignores_ranges_sends_everything_again(path):
    ignores = in_turn(cut_short(CONTENT, 30_000), lambda handler: respond(handler, CONTENT))
    with serve(file=ignores) as (address, requests):
        with pytest.raises(ConnectionError):
            downloads.fetch(path, [f"{address}/file"], SHA256)
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert path.read_bytes() == CONTENT and requests[1][1]["Range"] == "bytes=30000-"


@pytest.mark.parametrize("digest", [SHA256, None])
def test_a_file_that_changed_between_two_tries_starts_again(path, digest):
    old = CONTENT[::-1]
    with serve(file=in_turn(cut_short(old, 30_000, '"old"'), good(CONTENT, '"new"'))) as (address, requests):
        with pytest.raises(ConnectionError):
            downloads.fetch(path, [f"{address}/file"], digest)
        downloads.fetch(path, [f"{address}/file"], digest)
    assert path.read_bytes() == CONTENT and requests[1][1]["If-Range"] == '"old"'


def test_a_last_modified_date_serves_where_there_is_no_strong_etag(path):
    date = "Mon, 23 Nov 2026 08:00:00 GMT"

    def dated(handler):
        respond(handler, CONTENT[:30_000], 200, len(CONTENT), ETag='W/"weak"', Last_Modified=date)

    with serve(file=in_turn(dated, good(CONTENT, date))) as (address, requests):
        with pytest.raises(ConnectionError):
            downloads.fetch(path, [f"{address}/file"])
        downloads.fetch(path, [f"{address}/file"])
    assert path.read_bytes() == CONTENT and requests[1][1]["If-Range"] == date


def test_a_changed_file_whose_server_does_not_say_so_is_found_by_its_checksum(path):
    """Same ETag, other bytes: the end of the new version after the beginning of the old one."""
    with serve(file=in_turn(cut_short(CONTENT[::-1], 30_000), good(CONTENT))) as (address, requests):
        with pytest.raises(ConnectionError):
            downloads.fetch(path, [f"{address}/file"], SHA256)
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert path.read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in requests] == [None, "bytes=30000-", None]


def test_a_part_longer_than_the_file_starts_again(path):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT + b"more")
    with serve(file=good(CONTENT)) as (address, requests):
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert path.read_bytes() == CONTENT and len(requests) == 2


def test_a_server_that_refuses_everything_as_a_range_is_asked_twice(path):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT[:30_000])
    with serve(file=html(416)) as (address, requests), pytest.raises(ConnectionError, match="answers 416"):
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert [headers.get("Range") for _, headers in requests] == ["bytes=30000-", None]


def test_a_complete_part_needs_no_server(path):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT)
    assert downloads.fetch(path, ["http://127.0.0.1:9/x"], SHA256).read_bytes() == CONTENT and leftovers(path) == []


def test_a_wrong_checksum_leaves_nothing_and_the_next_source_is_tried(path):
    with serve(wrong=good(CONTENT[::-1]), right=good(CONTENT)) as (address, _):
        with pytest.raises(ConnectionError, match="another file: its checksum is not sha256") as error:
            downloads.fetch(path, [f"{address}/wrong"], SHA256)
        assert f"{address}/wrong" in str(error.value) and "starts anew" in str(error.value)
        assert leftovers(path) == [] and not path.exists()
        downloads.fetch(path, [f"{address}/wrong", f"{address}/right"], SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "page, message",
    [
        (html(), "sends a web page, not the file"),
        (html(404), "answers 404 Not Found"),
        (lambda handler: respond(handler, CONTENT, 503), "answers 503"),
        (redirect("/file"), "redirected more than 10 times"),
        (lambda handler: handler.wfile.write(b"220 this is no web server\r\n"), "no connection"),
        (lambda handler: None, "no connection"),
    ],
    ids=["web page", "404", "503", "redirect loop", "not http", "hangs up"],
)
def test_a_server_without_the_file_loses_nothing_that_was_kept(path, page, message):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT[:30_000])
    with serve(file=page) as (address, _), pytest.raises(ConnectionError, match=message) as error:
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert f"{address}/file" in str(error.value) and f"save it as {path}" in str(error.value)
    assert part(path).read_bytes() == CONTENT[:30_000] and not path.exists()


def test_a_web_page_with_status_200_never_becomes_the_file(path):
    with serve(file=html()) as (address, _), pytest.raises(ConnectionError, match="web page"):
        downloads.fetch(path, [f"{address}/file"])
    assert leftovers(path) == [] and not path.exists()


def test_a_part_of_another_place_in_the_file_is_refused(path):
    def elsewhere(handler):
        respond(handler, CONTENT[10:], 206, Content_Range=f"bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}")

    path.parent.mkdir()
    part(path).write_bytes(CONTENT[:30_000])
    with serve(file=elsewhere) as (address, _), pytest.raises(ConnectionError, match="from byte 10 on, not from 30000"):
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert part(path).read_bytes() == CONTENT[:30_000]


def test_a_redirect_without_end_is_left_early(path):
    with serve(file=redirect("/file")) as (address, requests), pytest.raises(ConnectionError, match="redirected"):
        downloads.fetch(path, [f"{address}/file"])
    assert len(requests) == 1 + downloads.REDIRECTS


def test_a_redirect_is_followed(path):
    with serve(old=redirect("/new"), new=good(CONTENT)) as (address, _):
        downloads.fetch(path, [f"{address}/old"], SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("sent", [None, 30_000], ids=["from the start", "in the middle"])
def test_a_silent_server_is_given_up_and_what_it_sent_is_kept(path, sent):
    over = threading.Event()

    def silent(handler):
        if sent:
            respond(handler, CONTENT[:sent], 200, len(CONTENT))
        over.wait(10)

    with serve(file=silent) as (address, _):
        with pytest.raises(ConnectionError, match="silent for 0.2 seconds"):
            downloads.fetch(path, [f"{address}/file"], SHA256, silence=0.2)
        over.set()
    assert leftovers(path) == ([part(path).name, f"{part(path).name}.json"] if sent else [])
    assert not sent or part(path).read_bytes() == CONTENT[:sent]


def drip(content, size, pause, over):
    def page(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), size):
            if over.wait(pause):
                return
            handler.wfile.write(content[start : start + size])

    return page


def test_a_slow_server_is_waited_for(path, monkeypatch):
    monkeypatch.setattr(downloads, "SLOWEST", 10)
    with serve(file=drip(CONTENT[:1000], 100, 0.05, threading.Event())) as (address, _):
        downloads.fetch(path, [f"{address}/file"], silence=0.2)
    assert path.read_bytes() == CONTENT[:1000]


def test_a_server_that_drips_is_given_up(path):
    over = threading.Event()
    with serve(file=drip(CONTENT, 1, 0.05, over)) as (address, _):
        with pytest.raises(ConnectionError, match="fewer than 1000 bytes a second"):
            downloads.fetch(path, [f"{address}/file"], silence=0.2)
        over.set()
    assert 0 < part(path).stat().st_size < 100


def test_no_server_at_all(path):
    with pytest.raises(ConnectionError, match="model.caffemodel could not be downloaded:\n.*127.0.0.1:9/x: no conn"):
        downloads.fetch(path, ["http://127.0.0.1:9/x"])


def test_a_disk_too_small_is_found_before_the_transfer(path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage)
    with serve(file=good(CONTENT)) as (address, _), pytest.raises(OSError, match="disk is full; 102,400 more") as error:
        downloads.fetch(path, [f"{address}/file"], SHA256)
    assert error.value.errno == errno.ENOSPC and str(path) in str(error.value) and leftovers(path) == []


def test_a_disk_that_fills_up_keeps_what_arrived_and_tries_no_other_source(path, monkeypatch):
    limit, write = 50_000, downloads._write

    def fills_up(file, block):
        write(file, block[: limit - os.fstat(file.fileno()).st_size])
        with open("/dev/full", "ab", buffering=0) as full:  # the kernel's own disk that is full
            write(full, block)

    monkeypatch.setattr(downloads, "_write", fills_up)
    with serve(file=good(CONTENT)) as (address, requests), pytest.raises(OSError, match="disk is full") as error:
        downloads.fetch(path, [f"{address}/file", f"{address}/file"], SHA256)
    assert error.value.errno == errno.ENOSPC and len(requests) == 1
    assert CONTENT.startswith(part(path).read_bytes()) and part(path).stat().st_size


def test_an_interrupt_keeps_what_arrived(path, monkeypatch):
    def interrupted(file, block):
        file.write(block[:1000])
        raise KeyboardInterrupt

    with serve(file=good(CONTENT)) as (address, _):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(downloads, "_write", interrupted)
            downloads.fetch(path, [f"{address}/file"])
        assert part(path).stat().st_size == 1000
        downloads.fetch(path, [f"{address}/file"])
    assert path.read_bytes() == CONTENT


def test_two_notebooks_do_not_write_one_part(path):
    path.parent.mkdir()
    with filelock.FileLock(f"{path}.lock"):
        with pytest.raises(BlockingIOError, match="another notebook is downloading"):
            downloads.fetch(path, ["http://127.0.0.1:9/x"])
        assert not path.exists() and not part(path).exists()
