"""A zip of photographs, decoded once into memory."""

import concurrent.futures
import contextlib
import functools
import math
import multiprocessing
import pathlib
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from helpers.data import archives

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CHUNK = 64  # photographs that one process decodes at a time, at least: to open a zip of 100,000 takes a second


@dataclass(frozen=True, eq=False)
class Photos:
    """Photographs of different sizes: photos[i] is uint8 (height, width, 3) RGB.

    names: their paths in the archive, sorted. checksums: CRC-32 of each file, as the archive keeps it.
    """

    names: tuple[str, ...]
    checksums: tuple[int, ...]
    pixels: tuple[np.ndarray, ...]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self.pixels[index]

    def fingerprint(self):
        """CRC-32 over names and checksums: changes when a photograph does."""
        return zlib.crc32(repr((self.names, self.checksums)).encode())

    def folder(self, index):
        """The folder of a photograph inside the archive; "" where it lies in none."""
        return self.names[index].rpartition("/")[0]

    def some(self, indices):
        """The Photos at `indices`."""
        fields = self.names, self.checksums, self.pixels
        return Photos(*(tuple(field[i] for i in indices) for field in fields))

    def split(self, every=20):
        """(training, held out) Photos: every 20th by name, beginning with the first, is held out."""
        everyone = range(len(self))
        return self.some([i for i in everyone if i % every]), self.some(everyone[::every])

    def labelled(self):
        """(the Photos that lie in a folder, their folders, sorted). Raises ValueError for fewer than two folders."""
        within = [i for i in range(len(self)) if self.folder(i)]
        folders = tuple(sorted({self.folder(i) for i in within}))
        if len(folders) < 2:
            raise ValueError(
                f"labels are the folders of the archive, and its {len(self):,} photographs lie in {len(folders)} "
                "(those outside any folder have no label); put each class into a folder of its own, "
                "or choose a task without labels: puzzles or rotations"
            )
        return self.some(within), folders


def listing(path):
    """(names, checksums) of the photographs in a zip, without decoding them; raises as `read` does."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no photograph archive {path}; give a zip of {', '.join(SUFFIXES)} files")
    with archives.naming(path), zipfile.ZipFile(path) as archive:
        names = [one for one in archive.infolist() if one.filename.lower().endswith(SUFFIXES)]
        files = sorted((one.filename, one.CRC) for one in names if not archives.hidden(one.filename))
    if not files:
        raise ValueError(f"{path} holds no photographs; give a zip of {', '.join(SUFFIXES)} files")
    return tuple(zip(*files))


def read(path, workers=0):
    """The Photos of a zip: every .jpg, .jpeg, .png and .webp in it, in colour, in the order of their names.

    Hidden files, such as a Mac's __MACOSX, are none; archives.picture reads the others.

    workers: processes that decode; 0 decodes here. In memory a photograph of 168 x 224 pixels takes 113 kB.
    Raises FileNotFoundError or ValueError, naming the archive and the way out, where it is missing, no zip, or holds
    no photograph; one ValueError lists all those that cannot be read.
    """
    names, checksums = listing(path)
    with contextlib.ExitStack() as stack:
        run = map
        if workers:
            fork = multiprocessing.get_context("fork")
            run = stack.enter_context(concurrent.futures.ProcessPoolExecutor(workers, fork)).map
        size = max(CHUNK, math.ceil(len(names) / (8 * max(1, workers))))
        chunks = [names[start : start + size] for start in range(0, len(names), size)]
        decoded = [photo for chunk in run(functools.partial(_decode, path), chunks) for photo in chunk]
    unreadable = [f"{name} ({photo})" for name, photo in zip(names, decoded) if isinstance(photo, str)]
    if unreadable:
        raise ValueError(
            f"{path}: {len(unreadable)} of {len(names)} photographs cannot be read: {'; '.join(unreadable)}. "
            "Replace them, or leave them out of the archive"
        )
    return Photos(names, checksums, tuple(decoded))


def _decode(path, names):
    """The photographs of these names as arrays; for one that cannot be read, what went wrong, as text."""
    photos = []
    with zipfile.ZipFile(path) as archive:
        for name in names:
            try:
                photos.append(archives.picture(archive.read(name), name))
            except (*archives.BROKEN, OSError, ValueError) as error:
                photos.append(str(error))
    return photos
