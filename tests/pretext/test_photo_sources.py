"""The archive of photographs from a public repository: what is taken, by which names, and that another one is told."""

import subprocess
import zlib

import pytest
from photographs import image_bytes, photo

from helpers.data import photo_archive
from helpers.pretext import archive

PICTURE = image_bytes(photo(0))
FILES = (
    "sets/cat/1.jpg",
    "sets/cat/2.jpg",
    "sets/dog/1.jpg",
    "sets/clutter/1.jpg",
    "sets/cat/notes.txt",
    "other/1.jpg",
)


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with pictures, which stands in SOURCES as `pets`."""
    folder = tmp_path / "repository"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURE)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Pictures")
    names = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    crc = zlib.crc32(PICTURE)
    expected = photo_archive.Photos(names, (crc,) * 3, ()).fingerprint()
    pets = archive.Source(str(folder), git(folder, "rev-parse", "HEAD"), "sets", (".", ":!clutter"), 3, 2, expected)
    monkeypatch.setitem(archive.SOURCES, "pets", pets)
    return folder


def test_each_photograph_lies_in_the_folder_of_its_class(repository, tmp_path, capsys):
    archive.main(["pets", str(tmp_path / "pets.zip")])
    assert "3 photographs in 2 folders, CRC-32 of the list" in capsys.readouterr().out
    photos = photo_archive.read(tmp_path / "pets.zip")
    assert photos.names == ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg") and photos.labelled()[1] == ("cat", "dog")


def test_another_archive_is_told_and_none_takes_its_place(repository, tmp_path, monkeypatch):
    other = archive.Source(*list(vars(archive.SOURCES["pets"]).values())[:-1], 7)
    monkeypatch.setitem(archive.SOURCES, "pets", other)
    with pytest.raises(ValueError, match=r"holds .*\(3, 2, \d+\) where pets had \(3, 2, 7\)"):
        archive.build("pets", tmp_path / "pets.zip")
    assert not (tmp_path / "pets.zip").exists()


def test_what_git_says_is_told(repository, tmp_path):
    with pytest.raises(RuntimeError, match="git fetch.*nowhere"):
        archive.build("pets", tmp_path / "pets.zip", tmp_path / "nowhere")
