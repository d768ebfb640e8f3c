"""What a training leaves in its folder: settings, tables, where it was made; and who may write there."""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass

import caffe
import filelock
import numpy as np
import pandas as pd

from helpers import course, weights
from helpers.course import write_atomically
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


def settings(net, recipe, training, validation, test, initial, layers, seed):
    """What decides the course of a training; two runs with equal settings are the same run."""
    chosen = {name: initial[name] for name in layers if name in initial} if initial else None
    return plain(
        {
            "recipe": dataclasses.asdict(recipe),
            "net": zlib.crc32(str(net).encode()),
            "seed": seed,
            "training": training.fingerprint(),
            "validation": validation.fingerprint(),
            "test": test.fingerprint() if test else None,
            "initial": weights.fingerprint(chosen),
            "examples": [len(training), len(validation), len(test) if test else 0],
        }
    )


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
        lock = filelock.FileLock(folder / ".lock").acquire(timeout=0)
    except filelock.Timeout:
        raise RuntimeError(
            f"another process is training in {folder} right now, another notebook perhaps; stop that one "
            "(Kernel, Shut down) or give this one another folder"
        ) from None
    except OSError as error:
        words = f"{error.strerror}; choose another folder (JIGSAW_RUNS names the one of all runs)"
        if (folder / "settings.json").exists():  # shared, read-only: only what is finished can be read there
            words = (
                f"{error.strerror}, and the training there is not finished, or another one: choose another folder. "
                "To go on with it, copy it to one of yours, and set JIGSAW_RUNS to the folder that holds the copy"
            )
        raise OSError(error.errno, words, str(folder)) from error
    with lock:
        yield


def command(module, words=None):
    """The shell command `python -m MODULE WORDS`; words: None takes those of this process."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if words is None else words)])


def in_words(made):
    """What `provenance` gives, as a card says it."""
    return (
        f"{made['date']}, commit {made['commit']}, {made['device']}, {made['machine']}, "
        f"Python {made['python']}, Caffe {made['caffe']}"
    )


@dataclass(frozen=True)
class Tables:
    """A training's records as lists of rows (dicts): one per epoch, per iteration, and per epoch of activity."""

    history: list
    iterations: list
    activity: list

    def write(self, folder):
        """history.csv, iterations.csv, and activity.csv where a net has ReLU layers."""
        tables = {
            "history": pd.DataFrame(self.history, columns=EPOCH_COLUMNS),
            "iterations": pd.DataFrame(self.iterations, columns=ITERATION_COLUMNS),
            "activity": pd.DataFrame(self.activity),
        }
        for name, table in tables.items():
            if name != "activity" or len(table.columns) > 1:
                write_atomically(folder / f"{name}.csv", table.to_csv(index=False))


@dataclass(frozen=True)
class Run:
    """A training on disk. history, iterations: DataFrames, one row per epoch (from 1) and per iteration (from 0).

    result: how it ended, best epoch and its validation loss, test accuracy if there was a test set, the settings,
    and where it was made (commit, date, machine).
    """

    folder: pathlib.Path
    history: pd.DataFrame
    iterations: pd.DataFrame
    result: dict

    @property
    def best(self):
        """Path of the caffemodel of the epoch with the lowest validation loss."""
        return self.folder / "best.caffemodel"

    def weights(self):
        """{layer name: [arrays]} of the best epoch."""
        return weights.read(self.best)


def load(folder):
    """The Run in `folder`. Raises FileNotFoundError, with the way out, where no epoch was finished."""
    folder = pathlib.Path(folder)
    if not (folder / "result.json").exists():
        raise FileNotFoundError(f"{folder} holds no training yet; run the notebook that makes it, or solver.fit")
    return Run(
        folder,
        pd.read_csv(folder / "history.csv"),
        pd.read_csv(folder / "iterations.csv"),
        json.loads((folder / "result.json").read_text()),
    )


def _git(*words):
    return subprocess.run(["git", *words], cwd=course.ROOT, capture_output=True, text=True)


@functools.cache
def commit():
    """The checked-out commit when this process first asked, the code that it runs; $JIGSAW_COMMIT outside a checkout.

    "-dirty" where a file differs from it that is not a record: a study writes those while it runs. Where there is no
    git, nobody can tell.
    """
    name = _git("rev-parse", "--short=7", "HEAD").stdout.strip() if shutil.which("git") else ""
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
