"""What a training leaves in its folder: settings, tables, where it was made; and who may write there."""

import contextlib
import datetime
import fcntl
import functools
import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd

from helpers import course
from helpers.training import device

EPOCH_COLUMNS = [
    "epoch",
    "iteration",
    "training_loss",
    "training_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
    "waiting",  # seconds of these that the solver waited for its batches
]
ITERATION_COLUMNS = ["iteration", "epoch", "loss", "learning_rate"]
FINISHED = ("stopped early", "all epochs")  # how a training has ended that another call does not go on with


def plain(settings):
    """Settings as JSON gives them back: NumPy's numbers as Python's, paths as text."""
    return json.loads(json.dumps(settings, default=lambda value: getattr(value, "tolist", value.__str__)()))


def settings_of(folder):
    """The settings that the training in `folder` was started with, None where there is none."""
    path = folder / "settings.json"
    return json.loads(path.read_text()) if path.exists() else None


def finished(folder, settings):
    """Whether `folder` holds a training of these settings that has come to its end."""
    result = folder / "result.json"
    return settings_of(folder) == settings and result.exists() and json.loads(result.read_text())["status"] in FINISHED


def set_aside(folder):
    """Rename a run folder of other settings to <name>.1, <name>.2, ... so that nothing saved is lost."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    print(f"The settings changed: the earlier training is kept in {aside.name}, a new one starts.")


@contextlib.contextmanager
def locked(folder):
    """Make `folder`; inside, no other process trains in it. The lock goes with this process, however that ends.

    Raises RuntimeError where another process does, and OSError (PermissionError, ...) where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}; choose another folder (JIGSAW_RUNS names the one of all runs)", str(folder)
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"another process is training in {folder} right now, another notebook perhaps; stop that one "
                "(Kernel, Shut down) or give this one another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


def command(module, words=None):
    """The shell command `python -m MODULE WORDS`; words: None takes those of this process."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if words is None else words)])


def in_words(made):
    """What `provenance` gives, as a card says it."""
    return (
        f"{made['date']}, commit {made['commit']}, {made['device']}, {made['machine']}, "
        f"Python {made['python']}, Caffe {made['caffe']}"
    )


def write(path, content):
    """Write a text or bytes under a temporary name first: a reader finds the old content or the new, never a part.

    Raises OSError (PermissionError, ...) that names the file and says what to do; the old content is still there then.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{error.strerror}; what was saved before is there. Make room or choose another folder, and run again",
            str(path),
        ) from error


@dataclass(frozen=True)
class Tables:
    """A training's records as lists of rows (dicts): one per epoch, per iteration, and per epoch of activity."""

    history: list
    iterations: list
    activity: list

    def write(self, folder):
        """history.csv, iterations.csv, and activity.csv where a net has ReLU layers."""
        write(folder / "history.csv", pd.DataFrame(self.history, columns=EPOCH_COLUMNS).to_csv(index=False))
        write(folder / "iterations.csv", pd.DataFrame(self.iterations, columns=ITERATION_COLUMNS).to_csv(index=False))
        if self.activity and len(self.activity[0]) > 1:
            write(folder / "activity.csv", pd.DataFrame(self.activity).to_csv(index=False))


def _git(*words):
    return subprocess.run(["git", *words], cwd=course.ROOT, capture_output=True, text=True)


@functools.cache
def commit():
    """The checked-out commit when this process first asked, the code that it runs; $JIGSAW_COMMIT outside a checkout.

    "-dirty" where a file differs from it that is not a record: a study writes those while it runs.
    """
    name = _git("rev-parse", "--short=7", "HEAD").stdout.strip()
    changed = name and _git("diff", "--quiet", "HEAD", "--", ".", ":!recorded").returncode
    return name + "-dirty" * bool(changed) or course.variable("JIGSAW_COMMIT") or "not a git checkout"


def provenance():
    """Commit, date, machine and versions, to be kept beside a result."""
    return {
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": device.describe(),
        "python": platform.python_version(),
        "caffe": caffe.__version__,
        "numpy": np.__version__,
    }
