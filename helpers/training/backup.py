"""A copy of a run folder elsewhere, such as on Drive: made after each epoch, and never a reason to stop."""

import os
import pathlib
import shutil
import tarfile
import tempfile

from helpers.course import write_atomically
from helpers.data import archives


def save(folder, into):
    """Copy a run folder into <into>/<name>.tar, the old copy staying until the new one is whole.

    It is packed on the local disk first. What goes wrong is printed, not raised: the training itself is safe.
    """
    folder, into = pathlib.Path(folder), pathlib.Path(into)
    try:
        into.mkdir(parents=True, exist_ok=True)
        older = sorted(folder.glob("snapshot_????"))[:-1]
        with tempfile.NamedTemporaryFile(suffix=".tar") as packed:
            with tarfile.open(packed.name, "w") as tar:
                for path in sorted(folder.glob("[!.]*")):
                    if path not in older:
                        tar.add(path, path.name)
            write_atomically(into / f"{folder.name}.tar", lambda part: shutil.copyfile(packed.name, part))
    except OSError as error:
        print(f"\nWarning: no copy of {folder.name} in {into} ({error}); training goes on, the next epoch tries again.")


def bring_back(folder, source):
    """Unpack <source>/<name>.tar into `folder`, where there is such a copy and no training in the folder yet.

    settings.json, by which a training is known, comes last: what breaks off in the middle is done again.
    """
    folder = pathlib.Path(folder)
    copy = pathlib.Path(source) / f"{folder.name}.tar"
    try:
        if (folder / "settings.json").exists() or not copy.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as part:
            archives.unpack(copy, part)
            if not pathlib.Path(part, "settings.json").exists():
                raise ValueError("it holds no training")
            for path in sorted(pathlib.Path(part).iterdir(), key=lambda path: path.name == "settings.json"):
                if path.is_dir():
                    shutil.rmtree(folder / path.name, ignore_errors=True)
                os.replace(path, folder / path.name)
        print(f"{folder.name} goes on from its copy in {source}.")
    except (OSError, ValueError) as error:
        print(f"Warning: {copy} cannot be used ({error}); the training starts anew.")
