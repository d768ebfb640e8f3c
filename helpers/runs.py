"""What a training leaves in its folder: tables, the snapshot that a later call goes on from, where it was made."""

import dataclasses
import datetime
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd
from caffe.proto import caffe_pb2

from helpers import device
from helpers.course import ROOT

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


def settings_of(folder):
    """The settings that the training in `folder` was started with, None where there is none."""
    path = folder / "settings.json"
    return json.loads(path.read_text()) if path.exists() else None


def set_aside(folder):
    """Rename a run folder of other settings to <name>.1, <name>.2, ... so that nothing saved is lost."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    print(f"The settings changed: the earlier training is kept in {aside.name}, a new one starts.")


def write(path, text):
    """Write a text file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def save(net, path):
    """Write a net's caffemodel whole or not at all."""
    part = path.with_name(path.name + ".part")
    net.save(str(part))
    os.replace(part, path)


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


def snapshot(solver, folder, tables):
    """Write snapshot_<epoch>/ whole, under another name first, then delete the one before it."""
    tables.write(folder)
    part = folder / "snapshot.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    solver.snapshot()
    for suffix in ("caffemodel", "solverstate"):
        os.replace(folder / f"part_iter_{solver.iter}.{suffix}", part / f"last.{suffix}")
    write(part / "tables.json", json.dumps(dataclasses.asdict(tables)))  # unlike CSV, exact to the last bit
    older = list(folder.glob("snapshot_*"))
    part.rename(folder / f"snapshot_{len(tables.history):04d}")
    for path in older:
        shutil.rmtree(path)


def resume(solver, folder):
    """Bring `solver` to the newest snapshot, if there is one; return its Tables, empty ones if there is none."""
    snapshots = sorted(folder.glob("snapshot_*"))
    if not snapshots:
        return Tables([], [], [])
    # Restore would load the weights from the path noted in the solverstate, where they no longer are.
    state = caffe_pb2.SolverState()
    state.ParseFromString((snapshots[-1] / "last.solverstate").read_bytes())
    state.ClearField("learned_net")
    (folder / "resume.solverstate").write_bytes(state.SerializeToString())
    solver.restore(str(folder / "resume.solverstate"))
    solver.net.copy_from(str(snapshots[-1] / "last.caffemodel"))
    (folder / "resume.solverstate").unlink()
    return Tables(**json.loads((snapshots[-1] / "tables.json").read_text()))


def provenance():
    """Commit ($JIGSAW_COMMIT outside a git checkout), date, machine and versions, to be kept beside a result."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip() or os.environ.get("JIGSAW_COMMIT", "not a git checkout"),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": device.describe(),
        "python": platform.python_version(),
        "caffe": caffe.__version__,
        "numpy": np.__version__,
    }
