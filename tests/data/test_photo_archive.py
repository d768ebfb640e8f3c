"""A zip of photographs: what is read, in which order, and what is said where it cannot be."""

import numpy as np
import pytest
from photographs import archive, image_bytes, photo

from helpers.data import photo_archive


@pytest.mark.parametrize("workers", [0, 2])
def test_photographs_come_in_the_order_of_their_names(tmp_path, workers):
    files = {f"photos/{i:05d}.webp": image_bytes(photo(i, 20 + i % 7), "WEBP") for i in reversed(range(150))}
    photos = photo_archive.read(archive(tmp_path / "p.zip", files | {"README.txt": b"no photograph"}), workers)
    assert photos.names == tuple(sorted(files))
    for i in range(150):
        np.testing.assert_array_equal(photos[i], photo(i, 20 + i % 7))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    grey = np.repeat(np.arange(0, 256, 51, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(8, axis=1)
    photos = photo_archive.read(archive(tmp_path / "p.zip", {"a.png": image_bytes(grey, mode=mode)}))
    np.testing.assert_array_equal(photos[0], grey)


def test_what_a_mac_leaves_in_a_zip_is_no_photograph(tmp_path):
    files = {"photos/a.JPG": image_bytes(photo(0), "PNG")}
    for name in ("__MACOSX/photos/._a.JPG", "photos/._b.jpg", ".thumbs/c.png", "photos/.DS_Store", "photos/Thumbs.db"):
        files[name] = b"\0\5\26\7 no photograph"
    assert photo_archive.read(archive(tmp_path / "p.zip", files)).names == ("photos/a.JPG",)


def test_all_unreadable_photographs_are_named_at_once(tmp_path):
    good = image_bytes(photo(0), "JPEG")
    files = {"a.jpg": good, "b.jpg": good[: len(good) // 2], "c.jpg": b"<html>not found</html>", "d.jpg": b""}
    with pytest.raises(ValueError, match=r"p\.zip: 3 of 4 .*b\.jpg.*c\.jpg.*d\.jpg.*Replace") as caught:
        photo_archive.read(archive(tmp_path / "p.zip", files))
    assert "a.jpg" not in str(caught.value)


def test_a_damaged_byte_is_found(tmp_path):
    path = archive(tmp_path / "p.zip", {"a.png": image_bytes(photo(0))})
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.png"):
        photo_archive.read(path)


@pytest.mark.parametrize("content, way_out", [(None, "give a zip"), (b"<html>", "broken or no archive")])
def test_what_is_no_archive(tmp_path, content, way_out):
    if content:
        (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=f"p.zip.*{way_out}"):
        photo_archive.read(tmp_path / "p.zip")


def test_an_archive_without_photographs(tmp_path):
    with pytest.raises(ValueError, match="holds no photographs"):
        photo_archive.read(archive(tmp_path / "p.zip", {"README.txt": b""}))


def test_every_twentieth_photograph_is_held_out(tmp_path):
    files = {f"{i:02d}.png": image_bytes(photo(i)) for i in range(45)}
    photos = photo_archive.read(archive(tmp_path / "p.zip", files))
    training, held_out = photos.split(20)
    assert held_out.names == ("00.png", "20.png", "40.png")
    assert sorted(training.names + held_out.names) == sorted(files)
    np.testing.assert_array_equal(held_out[1], photo(20))
    np.testing.assert_array_equal(training[19], photo(21))


def test_the_fingerprint_changes_with_a_photograph(tmp_path):
    prints = {
        photo_archive.read(archive(tmp_path / "p.zip", {name: image_bytes(photo(seed))})).fingerprint()
        for name, seed in (("a.png", 0), ("b.png", 0), ("a.png", 1))
    }
    assert len(prints) == 3
