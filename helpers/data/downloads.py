"""Downloads to rely on: several sources, a checksum, and a transfer that goes on where it broke off.

HTTP is spoken by requests, which is there wherever Jupyter is and knows redirects, certificates and a university's
proxy. pooch, the usual choice for data files, cannot go on with half a file.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys
import time

import filelock
import requests
import urllib3
from tqdm import tqdm

SILENCE = 30  # seconds without a byte, or with fewer than SLOWEST a second, after which a server is given up
SLOWEST = 1000  # bytes per second; CIFAR-100's throttled host gives fifty times as much (pytorch/vision issue 9536)
REDIRECTS = 10
BLOCK = 1 << 18  # bytes read at most at a time


def fetch(path, urls, digest=None, silence=SILENCE):
    """Download a file to `path` from the first of `urls` that gives it. One that is there is verified, no more.

    urls: addresses of the same file, tried in this order.
    digest: "sha256:..." or "sha1:...", hexadecimal; None where nobody has published one. Returns `path`.
    A download cut short stays beside it as `path`.part and is gone on with by the next call, from whichever source:
    an HTTP Range request with If-Range (RFC 9110, sections 13.1.5 and 14.2), so that a file that has changed, or a
    server that knows no ranges, starts again from the first byte.

    Raises ConnectionError, with a line for each source, where none gives the file: no answer, an error page, redirects
    without end, silence, a transfer cut short, another checksum. Raises ValueError where the file that is there has
    another checksum, and OSError where the disk is full or another process is downloading the same file.
    """
    path = pathlib.Path(path)
    if path.exists():
        verify(path, digest, "Delete it, and it is fetched again.")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part, note, lock = (path.with_name(path.name + suffix) for suffix in (".part", ".part.json", ".lock"))
    failures = []
    with _alone(lock, path), open(part, "ab", buffering=0) as file:
        try:
            for url in urls:
                try:
                    _download_and_verify(url, file, note, digest, silence)
                except (ConnectionError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                    failures.append(f"  {url}: {_reason(error, silence)}")
                else:
                    os.replace(part, path)
                    return path
        finally:
            if path.exists() or not part.stat().st_size:
                part.unlink(missing_ok=True)
                note.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    kept = f"goes on from the {part.stat().st_size:,} bytes in {part}" if part.exists() else "starts anew"
    raise ConnectionError(
        "\n".join([f"{path.name} could not be downloaded:", *failures])
        + f"\nRunning this again {kept}. Or download one of these addresses by other means and save it as {path}."
    )


def verify(path, digest, way_out="Put that file in its place."):
    """Raise ValueError where the file at `path` has not the checksum `digest`, as in fetch."""
    if not _matches(path, digest):
        raise ValueError(
            f"{path} is not the file it should be, {digest}: it is damaged, cut short or another version. {way_out}"
        )


@contextlib.contextmanager
def _alone(lock, path):
    """Keep a second notebook from writing into the same .part; the lock ends with the process."""
    try:
        lock = filelock.FileLock(lock).acquire(timeout=0)
    except filelock.Timeout:
        raise BlockingIOError(
            errno.EWOULDBLOCK,
            "another notebook is downloading this file: wait until it has, then run this again",
            str(path),
        ) from None
    except OSError as error:
        words = f"{error.strerror}: this file has to be downloaded there; set JIGSAW_CACHE to a folder of yours"
        raise type(error)(error.errno, words, str(path)) from error
    with lock:
        yield


def _download_and_verify(url, file, note, digest, silence):
    """Complete `file`, the open .part, from one source. With another checksum nothing of it is kept."""
    if digest and _matches(file.name, digest):  # complete; only its last name was missing
        return
    resumed = _download(url, file, note, digest, silence)
    if not _matches(file.name, digest) and resumed:  # two versions of the file, one after the other?
        file.truncate(0)
        _download(url, file, note, digest, silence)
    if not _matches(file.name, digest):
        file.truncate(0)
        raise ConnectionError(f"the server sends another file: its checksum is not {digest}")


def _download(url, file, note, digest, silence):
    """Append to `file` what it lacks of the file at `url`, or write it anew; true where something was kept."""
    have = file.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity"}  # compressed on the way, the bytes of a range would be other bytes
    source = json.loads(note.read_text()) if have and note.exists() else {}
    if have and source.get("url") == url and source["version"]:
        headers |= {"Range": f"bytes={have}-", "If-Range": source["version"]}
    elif have and digest:  # from another source: the checksum will tell
        headers |= {"Range": f"bytes={have}-"}
    session = requests.Session()
    session.max_redirects = REDIRECTS
    with session, session.get(url, headers=headers, stream=True, timeout=silence) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:  # more than the file has
            file.truncate(0)
            return _download(url, file, note, digest, silence)
        response.raise_for_status()
        start, total = _extent(response)
        if start not in (0, have):
            raise ConnectionError(f"the server sends the file from byte {start} on, not from {have}")
        block = response.raw.read1(BLOCK)
        if start == 0 and re.match(rb"\s*<(!doctype html|html|\?xml)", block, re.IGNORECASE):
            raise ConnectionError("the server sends a web page, not the file")
        needed = (total or 0) - start
        if needed > shutil.disk_usage(note.parent).free:
            raise _disk_full(file.name, f"; {needed:,} more bytes are needed")
        if start == 0:
            file.truncate(0)  # before the note: one that is half written belongs to an empty file, and is not read
            version = response.headers.get("ETag", "W/")  # a weak one ("W/...") does not stand for the exact bytes
            version = response.headers.get("Last-Modified") if version.startswith("W/") else version
            note.write_text(json.dumps({"url": url, "version": version}))
        _copy(response, block, file, start, total, silence)
    return start > 0


def _extent(response):
    """(first byte, length of the whole file or None) of what a 200 or 206 response carries."""
    if response.status_code != requests.codes.partial_content:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if not match:
        raise ConnectionError("the server sends a part of the file without saying which")
    return int(match[1]), int(match[2])


def _copy(response, block, file, have, total, silence):
    """Write the response's blocks to `file`, the first being `block`, with a progress bar in plain text."""
    name = pathlib.Path(file.name).name.removesuffix(".part")
    with tqdm(
        total=total,
        initial=have,
        desc=name,
        unit="B",
        unit_scale=True,
        mininterval=0.5,
        ascii=" -",
        ncols=100,
        file=sys.stdout,
    ) as bar:
        mark, deadline = have, time.monotonic() + silence
        while block:
            _write(file, block)
            have += len(block)
            bar.update(len(block))
            if time.monotonic() > deadline:
                if have - mark < SLOWEST * silence:
                    raise ConnectionError(f"the server sends fewer than {SLOWEST} bytes a second")
                mark, deadline = have, time.monotonic() + silence
            block = response.raw.read1(BLOCK)


def _write(file, block):
    try:
        rest = memoryview(block)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _disk_full(file.name) from error


def _disk_full(part, needed=""):
    return OSError(
        errno.ENOSPC,
        f"the disk is full{needed}. Make room, or set JIGSAW_CACHE to a folder on another disk, and run this again: "
        "what has arrived is kept",
        part,
    )


def _reason(error, silence):
    """Why a source failed, in words that a student can act on."""
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.TooManyRedirects):
        return f"the address is redirected more than {REDIRECTS} times"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"the server was silent for {silence} seconds"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({getattr(error.args[0], 'reason', error)})"
    if isinstance(error, urllib3.exceptions.HTTPError):  # IncompleteRead, where it said how long the file is
        return "the connection broke off, the file is cut short"
    return str(error)


def _matches(path, digest):
    """Whether a file has the checksum "algorithm:hexadecimal"; any has None."""
    if digest is None:
        return True
    algorithm, _, expected = digest.partition(":")
    checksum = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest() == expected
