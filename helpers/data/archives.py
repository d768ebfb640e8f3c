"""Files from elsewhere: archives unpacked only inside their folder, pictures of every kind, folders behind links."""

import contextlib
import errno
import io
import os
import pathlib
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageOps

if not hasattr(tarfile, "data_filter"):  # Python before 3.10.12 and 3.11.4, Debian 12's among them
    from backports import tarfile

# What they raise, beside OSErrors without a number, for a damaged file (tests/data/test_fuzz.py)
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError)
# What Pillow raises for a damaged picture (the same tests)
BROKEN_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def unpack(archive, folder):
    """Unpack a tar file, however compressed, into `folder`; what was unpacked before an error stays there.

    Raises ValueError, naming the archive and the member, for a member that would land outside it, a broken archive, or
    a file that is none.
    """
    with naming(archive), tarfile.open(archive) as tar:
        tar.extractall(folder, filter=_inside)


def hidden(name):
    """Whether a file's path is one that systems and editors leave in folders and zips: __MACOSX, ._photo.jpg, ..."""
    return any(part == "__MACOSX" or part.startswith(".") for part in pathlib.PurePosixPath(name).parts)


def below(folder):
    """Paths of everything below a folder, relative to it, as a zip lists them: folders end in "/".

    Links to folders elsewhere are followed; what they lead back to is not listed twice.
    """
    names = []
    for at, folders, files in os.walk(folder, followlinks=True):
        paths = [pathlib.Path(at, name) for name in folders]
        folders[:] = [path.name for path in paths if not path.is_symlink() or _leads_out(path, folder)]
        start = pathlib.Path(at).relative_to(folder)
        names += [f"{(start / name).as_posix()}/" for name in folders] + [(start / name).as_posix() for name in files]
    return names


def _leads_out(link, folder):
    """Whether a link in `folder` leads neither into it nor round to a folder above, where a walk would have no end."""
    end, place = link.resolve(), link.parent.resolve()
    return not end.is_relative_to(pathlib.Path(folder).resolve()) and not place.is_relative_to(end)


def picture(content, name):
    """A picture file's bytes as uint8 (height, width, 3) RGB, as a viewer shows it.

    Turned upright where EXIF says how it lies; what is transparent lies on white; of several frames, the first; 16
    bits become 8. Floats run from 0 to 1 or to 255; numbers outside 16 bits are stretched over their own range.
    Raises ValueError that names the file, with the way out, where the bytes are no picture.
    """
    try:
        opened = Image.open(io.BytesIO(content))
        image = ImageOps.exif_transpose(opened)
        if image.mode[0] in "IF":
            return np.repeat(_eight_bits(np.asarray(image), opened)[..., None], 3, axis=2)
        if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return np.asarray(image.convert("RGB"))
    except BROKEN_IMAGE as error:
        raise ValueError(f"{name} is not an image that can be read; choose a JPEG, PNG or WebP file") from error


def _eight_bits(values, opened):
    """uint8 of a picture whose numbers are 16 bits, 32 bits or floats (Pillow's I;16, I and F)."""
    if opened.mode.startswith("I;16"):
        return (values >> 8).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        factor = 255 / (high - low or 1)
    elif high > 255 or opened.format in ("PNG", "PPM"):  # files of 16 bits, which some Pillows open as I
        low, factor = 0, 1 / 257
    else:
        low, factor = 0, 255 if opened.mode == "F" and high <= 1 else 1
    return np.rint((values - low) * factor).astype(np.uint8)


def _inside(member, folder):
    """tarfile's data filter, which refuses what would land outside, links included; it trips over zero bytes itself."""
    if "\0" in member.name + member.linkname:
        raise tarfile.ReadError("a name holds a zero byte")
    return tarfile.data_filter(member, folder)


@contextlib.contextmanager
def naming(archive):
    """Around the reading of an archive: what tarfile and zipfile raise becomes a ValueError that names the file.

    A full disk, a folder that may not be written to and the like stay the OSErrors they are.
    """
    try:
        yield
    except tarfile.FilterError as error:
        raise ValueError(f"{archive} is not safe to unpack: {error}. Do not use it.") from error
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # seeking before the file's start
            raise
        raise ValueError(
            f"{archive} is broken or no archive that can be read ({error}). Get it again, without a password."
        ) from error
