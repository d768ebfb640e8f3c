"""Arrays that were computed once and kept in a file: believed only when they are whole, and never a reason to stop."""

import os
import zlib

import numpy as np

from helpers.course import write_atomically

BLOCK = 1 << 24  # bytes read at a time


def kept(path, compute):
    """The array in the file `path`, mapped rather than read into memory; where there is none, compute() put there.

    The file is NumPy's .npy with a CRC-32 of its bytes behind the last of them. One that is damaged is computed again;
    where it cannot be written (a full or read-only disk) the array is computed, a line says so, and nothing stops.
    """
    return np.load(path, mmap_mode="r") if whole(path) else keep(path, compute())


def whole(path):
    """Whether `path` is a file that `keep` wrote, as it wrote it; a line says where it is damaged."""
    try:
        with open(path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4, 0))
            if file.read() == _checksum(path, 4):
                return True
        print(f"{path} is damaged: it is computed again.")
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"{path} cannot be read ({error.strerror}): it is computed again.")
    return False


def keep(path, array):
    """Put an array into the file `path` for `kept` and return it, mapped; as it is where it could not be written."""

    def save(part):
        np.save(part, array)
        with open(part, "ab") as file:
            file.write(_checksum(part, 0))

    try:
        write_atomically(path, save)
    except OSError as error:
        print(f"{path} could not be kept ({error.__cause__.strerror}): it will be computed again next time.")
        return array
    return np.load(path, mmap_mode="r")


def _checksum(path, tail):
    """CRC-32, four bytes, of a file but for its last `tail` bytes."""
    crc, left = 0, os.path.getsize(path) - tail
    with open(path, "rb") as file:
        while left > 0 and (block := file.read(min(BLOCK, left))):
            crc, left = zlib.crc32(block, crc), left - len(block)
    return crc.to_bytes(4, "little")
