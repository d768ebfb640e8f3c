"""Readers of files from elsewhere: whatever the bytes, a result or a ValueError or OSError that names the file.

Inputs are random bytes and damaged copies of good files, the same ones every time. More, and other ones each time:

    JIGSAW_FUZZ=10000 python -m pytest tests/data/test_fuzz.py -n 0
"""

import contextlib
import functools
import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import ExifTags, Image

from helpers import jigsaw, nets, weights
from helpers.data import archives, fruits360, photo_archive
from helpers.explorers import inspection

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's and protobuf's, about damaged files

EXAMPLES = int(os.environ.get("JIGSAW_FUZZ", 200))
FUZZED = settings(
    max_examples=EXAMPLES,
    derandomize="JIGSAW_FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def damaged(good, script):
    """A copy of `good` with bits flipped and bytes put in, cut out or repeated, as the bytes of `script` say.

    One drawn string that is read like a program costs Hypothesis a tenth of many small draws. A script that begins
    with 0 is the file itself: bytes of no format. Most actions keep the length, so that the damage lies deeper than
    where lengths are checked.
    """
    if script[0] == 0:
        return script[1:]
    content, rest = bytearray(good), io.BytesIO(script)
    while len(head := rest.read(4)) == 4:
        action, high, low, length = head
        start = (high << 8 | low) % (len(content) + 1)
        end = start + 1 + length % 16
        match action % 8:
            case 0:
                content[start:start] = rest.read(end - start)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case 3 if action > 200:
                del content[start:]
            case _:
                for place, flips in enumerate(rest.read(1 + length % 3), start):
                    content[place : place + 1] = bytes(byte ^ flips for byte in content[place : place + 1])
    return bytes(content)


def tolerate(read, path, content):
    """Read a file of these bytes. Anything but a result, or an exception that says which file, fails the test."""
    path.write_bytes(content)
    try:
        return read(path)
    except (ValueError, OSError) as error:
        assert str(path) in str(error), f"{error!r} does not name the file"


def fuzz(read, good, path):
    """The reader takes the good file, and survives EXAMPLES bad ones."""
    assert tolerate(read, path, good) is not None

    @FUZZED
    @given(st.binary(min_size=4, max_size=80))
    def run(script):
        tolerate(read, path, damaged(good, script))

    run()


def picture(format):
    """A small picture's bytes; lying on its side, says its EXIF."""
    pixels = np.add.outer(np.arange(0, 160, 8), np.arange(0, 80, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    Image.fromarray(np.stack([pixels, pixels.T, pixels], -1)).save(file, format, exif=exif)
    return file.getvalue()


def zip_of(members, compression):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar_of(members, mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


MEMBERS = {"top/one.txt": b"one " * 30, "top/under/zwölf.bin": bytes(range(256))}


@pytest.mark.parametrize("kind", ["blobs with a shape", "as in 2014", "HDF5"])
def test_caffemodels(tmp_path, kind):
    path = tmp_path / "model.caffemodel"
    weights.write(path, {"conv1": [np.ones((2, 3, 2, 2)), np.zeros(2)], "fc6": [np.ones((3, 4))]})
    content = path.read_bytes()
    if kind == "HDF5":
        nets.instantiate(nets.head(2, (3,), 1)).save_hdf5(str(path))
        content = path.read_bytes()
    if kind == "as in 2014":
        net = weights.caffe_pb2.NetParameter()
        net.layers.add(name="fc").blobs.add(num=1, channels=1, height=2, width=3).data.extend(range(6))
        content = net.SerializeToString()

    def read(path):
        layers = weights.read(path)
        assert all(array.dtype == np.float32 for blobs in layers.values() for array in blobs)
        weights.fingerprint(layers)
        return layers

    fuzz(read, content, path)


def test_permutation_files(tmp_path):
    path = tmp_path / "permutations.bin"
    jigsaw.save_permutations(path, jigsaw.choose_permutations(5, tiles=4))

    def read(path):
        permutations = jigsaw.load_permutations(path)
        assert (np.sort(permutations, axis=1) == np.arange(1, permutations.shape[1] + 1)).all()
        return permutations

    fuzz(read, path.read_bytes(), path)


def test_prototxts(tmp_path):
    fuzz(nets.read, str(nets.head(3)).encode(), tmp_path / "net.prototxt")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives(tmp_path, mode):
    def read(path):
        folder = path.parent / "out"
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            archives.unpack(path, folder)
            return list(folder.iterdir())

    fuzz(read, tar_of(MEMBERS, mode), tmp_path / "archive")
    assert [file.name for file in tmp_path.iterdir()] == ["archive"], "something stayed behind, or landed outside"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_archives_of_images(tmp_path, compression):
    members = {f"{split}/Lemon/{i}_100.jpg": picture("JPEG") for split in ("Training", "Test") for i in range(2)}
    read = functools.partial(fruits360.load, every=1, size=8)
    fuzz(read, zip_of(members, compression), tmp_path / "fruits.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_archives_of_photographs(tmp_path, compression):
    fuzz(
        photo_archive.read,
        zip_of({f"{i}.jpg": picture("JPEG") for i in range(2)}, compression),
        tmp_path / "photos.zip",
    )


def test_images(tmp_path):
    def read(path):
        folder = path.parent.parent.parent
        return fruits360.load(folder, every=1, size=8)

    for split in ("Training", "Test"):
        (tmp_path / split / "Lemon").mkdir(parents=True)
        (tmp_path / split / "Lemon" / "0_100.jpg").write_bytes(picture("JPEG"))

    def tolerant(path):
        try:
            return read(path)
        except ValueError as error:
            assert "Training/Lemon/0_100.jpg" in str(error)
            raise ValueError(f"{path}: {error}") from error

    fuzz(tolerant, picture("JPEG"), tmp_path / "Training" / "Lemon" / "0_100.jpg")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_pictures_of_ones_own(tmp_path, format):
    fuzz(lambda path: inspection.own_image(path.read_bytes(), path), picture(format), tmp_path / "mine")
