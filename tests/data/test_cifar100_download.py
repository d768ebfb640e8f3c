"""CIFAR-100 from a server that misbehaves; Keras' own loader reads what arrived."""

import functools
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from servers import cut_short, good, html, redirect, serve

from helpers.data import datasets

keras_cifar100 = pytest.importorskip("keras.src.datasets.cifar100")
keras_config = pytest.importorskip("keras.src.backend.config")

COUNTS = {"train": 7, "test": 4}


class Python2Pickler(pickle._Pickler):
    """Pickles bytes and text as Python 2 did its strings; the release of 2009 was written by Python 2."""

    def save_string(self, value):
        raw = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def pickled(values):
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(values)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")  # its name at the time


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(5)
    return {
        split: (rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, 100, count))
        for split, count in COUNTS.items()
    }


@pytest.fixture(scope="module")
def archive(arrays):
    """A release of eleven images in the original's layout: planes red, green, blue of 1024 bytes in a row per image."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for split, (images, labels) in arrays.items():
            content = pickled(
                {
                    "data": images.transpose(0, 3, 1, 2).reshape(-1, 3072),
                    "fine_labels": labels.tolist(),
                    "coarse_labels": [0] * len(labels),
                    "filenames": ["x.png"] * len(labels),
                    "batch_label": "training batch 1 of 1",
                }
            )
            member = tarfile.TarInfo(f"cifar-100-python/{split}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def place(archive, tmp_path, monkeypatch):
    """Where the archive belongs, in a Keras home of this test, with the small archive's checksum for the release's."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))  # read from the environment on import
    monkeypatch.delenv("JIGSAW_DATA", raising=False)
    digest = hashlib.sha256(archive).hexdigest()
    monkeypatch.setattr(datasets, "CIFAR100_DIGEST", f"sha256:{digest}")

    @functools.wraps(keras_cifar100.get_file)
    def get_file(origin, file_hash, **options):
        assert f"sha256:{file_hash}" == "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
        return keras_file(origin="http://127.0.0.1:9/keras-must-not-download", file_hash=digest, **options)

    keras_file = keras_cifar100.get_file
    monkeypatch.setattr(keras_cifar100, "get_file", get_file)
    return tmp_path / "datasets" / "cifar-100-python-target_archive"


def check(loaded, arrays):
    for image_set, (images, labels) in zip(loaded, arrays.values(), strict=True):
        assert np.array_equal(image_set.images, images) and np.array_equal(image_set.labels, labels)
        assert image_set.images.flags.c_contiguous and image_set.class_names == datasets.CIFAR100_CLASSES


def test_the_release_is_fetched_once_and_is_what_keras_reads(place, archive, arrays, monkeypatch):
    with serve(cifar=good(archive)) as (address, requests):
        monkeypatch.setattr(datasets, "CIFAR100_URLS", [f"{address}/cifar"])
        check(datasets.load_cifar100(), arrays)
        check(datasets.load_cifar100(), arrays)
    assert len(requests) == 1
    for image_set, (images, labels) in zip(datasets.load_cifar100(), keras_cifar100.load_data(), strict=True):
        assert np.array_equal(image_set.images, images) and np.array_equal(image_set.labels[:, None], labels)


def test_what_keras_has_already_is_used_without_a_network(place, archive, arrays, monkeypatch):
    place.parent.mkdir()
    place.write_bytes(archive)
    monkeypatch.setattr(datasets, "CIFAR100_URLS", ["http://127.0.0.1:9/x"])
    check(datasets.load_cifar100(), arrays)


def test_an_archive_in_a_folder_that_may_not_be_written_is_used(place, archive, arrays, monkeypatch):
    """Keras would go to /tmp then, and download once more. Only a read-only mount says no to root, too."""
    place.parent.mkdir()
    place.write_bytes(archive)
    monkeypatch.setattr(datasets, "CIFAR100_URLS", ["http://127.0.0.1:9/x"])
    monkeypatch.setattr(datasets.os, "access", lambda path, mode: False)
    check(datasets.load_cifar100(), arrays)
    assert list(place.parent.iterdir()) == [place]


def test_every_source_is_tried_and_a_transfer_is_gone_on_with(place, archive, arrays, monkeypatch):
    pages = {
        "loop": redirect("/loop"),
        "page": html(),
        "short": cut_short(archive, 5000),
        "gone": html(404),
        "good": good(archive),
    }
    with serve(**pages) as (address, requests):
        urls = [f"{address}/{name}" for name in pages]
        monkeypatch.setattr(datasets, "CIFAR100_URLS", urls[:-1])
        with pytest.raises(ConnectionError) as error:
            datasets.load_cifar100()
        for url, reason in zip(urls, ["redirected", "web page", "cut short", "404 Not Found"]):
            assert any(url in line and reason in line for line in str(error.value).splitlines())
        assert f"save it as {place}" in str(error.value) and "goes on from the 5,000 bytes" in str(error.value)
        monkeypatch.setattr(datasets, "CIFAR100_URLS", urls)
        before = len(requests)
        check(datasets.load_cifar100(), arrays)
    assert [headers.get("Range") for name, headers in requests[before:] if name in ("short", "good")] == [
        "bytes=5000-",
        "bytes=10000-",
    ]


def test_another_file_at_every_source_is_not_kept(place, archive, monkeypatch):
    with serve(wrong=good(archive[::-1])) as (address, _):
        monkeypatch.setattr(datasets, "CIFAR100_URLS", [f"{address}/wrong"])
        with pytest.raises(ConnectionError, match="another file"):
            datasets.load_cifar100()
    assert list(place.parent.iterdir()) == []


def test_keras_demands_the_same_checksum():
    """Ours must be the installed Keras' own, or it would download the release once more."""
    seen = {}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):

        def get_file(fname, file_hash, **options):
            seen.update(fname=fname, file_hash=file_hash)
            raise InterruptedError

        patch.setattr(keras_cifar100, "get_file", get_file)
        keras_cifar100.load_data()
    assert seen == {"fname": "cifar-100-python-target", "file_hash": datasets.CIFAR100_DIGEST.removeprefix("sha256:")}
