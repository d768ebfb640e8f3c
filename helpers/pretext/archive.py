"""Build an archive of photographs to train a trunk on, from a public copy of a data set.

    python -m helpers.pretext.archive caltech101 caltech101.zip

Each photograph lies in the folder of its class, so that --task labels can be trained on it, too. The archive's list,
the name and CRC-32 of every photograph, must be the one that is known here; its checksum stands on the cards of trunks.
The data sets are for research; the zip is yours, and nothing of it belongs to this repository.
"""

import argparse
import pathlib
import subprocess
import tempfile
from dataclasses import dataclass

from helpers.data import photo_archive


@dataclass(frozen=True)
class Source:
    """A repository that holds a data set: address, commit, the paths in it to take, relative to `folder`.

    photographs, folders, fingerprint: what the archive then holds, see photo_archive.Photos.
    """

    address: str
    commit: str
    folder: str
    paths: tuple[str, ...]
    photographs: int
    folders: int
    fingerprint: int


SOURCES = {
    # Fei-Fei, Fergus & Perona 2004, without the photographs of no class in particular
    "caltech101": Source(
        "https://github.com/MachineLearning2020/Homework2-Caltech101",
        "836044dd000296b2bb74d0aa4b4e462e459b01d7",
        "101_ObjectCategories",
        (".", ":!BACKGROUND_Google"),
        8677,
        101,
        0x74150157,
    ),
    # The training images of Stanford's CS231n, 64 x 64 pixels
    "tiny_imagenet": Source(
        "https://github.com/seshuad/IMagenet",
        "153dbc161ab7942a12c99515e80ef6454dd06693",
        "tiny-imagenet-200/train",
        (".",),
        100_000,
        200,
        0x4BAE70B8,
    ),
}


def build(name, path, address=None):
    """Write the archive of a data set to `path` and return its (photographs, folders, fingerprint).

    address: another copy of the same repository, such as a folder. Raises ValueError for what is not the archive that
    we trained on (it stays at `path`.part), and RuntimeError, in git's words, where git fails.
    """
    source, path = SOURCES[name], pathlib.Path(path)
    part = path.with_name(path.name + ".part")
    with tempfile.TemporaryDirectory() as folder:
        _git(folder, "init", "--quiet", "--bare")
        _git(folder, "fetch", "--quiet", "--depth", "1", str(address or source.address), source.commit)
        tree = f"FETCH_HEAD:{source.folder}"
        _git(folder, "archive", "--format=zip", "-0", "-o", str(part.resolve()), tree, *source.paths)
    photos = photo_archive.Photos(*photo_archive.listing(part), ())
    found = len(photos), len({photos.folder(i) for i in range(len(photos))}), photos.fingerprint()
    expected = source.photographs, source.folders, source.fingerprint
    if found != expected:
        raise ValueError(
            f"{part} holds (photographs, folders, CRC-32 of the list) {found} where {name} had {expected}: "
            "this copy of the repository is another one; give the address of a true one"
        )
    part.rename(path)
    return found


def _git(folder, *words):
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(words)}: {done.stderr.strip()}")


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m helpers.pretext.archive", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SOURCES)
    parser.add_argument("path", type=pathlib.Path, help="zip to write")
    parser.add_argument("--address", help="another copy of the repository: a folder, or an address that git knows")
    chosen = parser.parse_args(words)
    count, folders, fingerprint = build(chosen.name, chosen.path, chosen.address)
    print(f"{chosen.path}: {count:,} photographs in {folders} folders, CRC-32 of the list {fingerprint:08x}")


if __name__ == "__main__":
    main()
