"""Archives from elsewhere: unpacked only inside their folder, and named when they are broken."""

import contextlib
import errno
import os
import pathlib
import re
import tarfile
import tempfile
import zipfile
import zlib

from PIL import Image

if not hasattr(tarfile, "data_filter"):  # Python before 3.10.12 and 3.11.4, Debian 12's among them
    from backports import tarfile

# What they raise, beside OSErrors without a number, for a damaged file (tests/test_fuzz.py)
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeDecodeError)
# What Pillow raises for a damaged picture (the same tests)
BROKEN_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def unpack(archive, folder):
    """Unpack a tar (however compressed) or zip file into `folder`, which appears when everything is unpacked.

    Returns `folder`. Raises FileExistsError where it is there already, and ValueError, naming the archive and the
    member, for a member that would land outside it, a broken archive, or a file that is none.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    if folder.exists():
        raise FileExistsError(errno.EEXIST, "unpacked before? Delete it to unpack again", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as part:
        part = pathlib.Path(part) / folder.name
        part.mkdir()
        with naming(archive):
            if zipfile.is_zipfile(archive):
                _unpack_zip(archive, part)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(part, filter=_inside)
        os.replace(part, folder)
    return folder


def _inside(member, folder):
    """tarfile's data filter, which refuses what would land outside, links included; it trips over zero bytes itself."""
    if "\0" in member.name + member.linkname:
        raise tarfile.ReadError("a name holds a zero byte")
    return tarfile.data_filter(member, folder)


def _unpack_zip(archive, folder):
    with zipfile.ZipFile(archive) as content:
        for name in content.namelist():  # zipfile would write such a member under another name, and not say so
            if not name or pathlib.PurePosixPath(name).is_absolute() or ".." in re.split(r"[/\\]", name):
                raise ValueError(
                    f"{archive} is not safe to unpack: {name!r} has no place in the folder. Do not use it."
                )
        content.extractall(folder)


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
        raise ValueError(f"{archive} is broken or no archive ({error}). Delete it and fetch it again.") from error
