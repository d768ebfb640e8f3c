"""Recorded full-size trainings: small files in recorded/<name>/ that ship with the course and are checked.

    result.json      what was planned, how it ended, settings, commit, date, command, device, machine
    history.csv      one row per epoch, as in a run folder
    conv1.npz        for some: conv1's filters after chosen epochs, float16
    predictions.npz  for some: predicted and true class of every test image, uint8, and the classes' names
    nearest.npz      for some: each image's nearest training image, its distance and whether its class is the same

`python -m helpers.study` writes them; nothing in them is typed. In recorded/trunks lie conv1's filters and the card of
trunks that learnt another task than puzzles, or puzzles for as long: <task>.npz and <task>.md.
"""

import dataclasses
import json
import pathlib
import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers import course, weights
from helpers.training.run_folder import FINISHED, plain

MEASURED = "measured"  # not a training: one pass
DONE = (*FINISHED, MEASURED)
NOT_RUN = "not run"
DIGITS = 6  # decimals of losses, accuracies and seconds; learning rates keep as many significant digits
MOST_BYTES = 5_000_000  # all of recorded/


@dataclass(frozen=True)
class Record:
    """A recorded training, shaped like solver.Run: history is a DataFrame, result a dictionary."""

    folder: pathlib.Path
    history: pd.DataFrame
    result: dict

    def filters(self):
        """{epoch: conv1's weights (filters, 3, 11, 11), float16}; epoch 0 is before the first iteration."""
        arrays = np.load(self.folder / "conv1.npz")
        return dict(zip(arrays["epochs"].tolist(), arrays["filters"]))

    def predictions(self):
        """(predicted, true, class names): uint8 (N,) twice, and str; sorted by true class, see `write`."""
        arrays = np.load(self.folder / "predictions.npz")
        return arrays["predicted"], arrays["true"], arrays["classes"]

    def nearest(self):
        """{"validation": (distance, same class), "test": ...} to the nearest training image: float16 and bool (N,)."""
        arrays = np.load(self.folder / "nearest.npz")
        return {part: (arrays[f"{part}_distance"], arrays[f"{part}_right"]) for part in ("validation", "test")}


def root():
    """Path of recorded/ (or $JIGSAW_RECORDED)."""
    return course.folder("JIGSAW_RECORDED")


def names():
    """Names of what is recorded, sorted."""
    found = [path.parent.name for path in root().glob("*/result.json")]
    return sorted(name for name in found if "." not in name)  # a dot: what an interrupted write left behind


def load(name, within=None):
    """The Record of that name. Raises FileNotFoundError, with the way out, where nothing of that name is recorded.

    within: another folder than root().
    """
    folder = (within or root()) / name
    if not (folder / "result.json").exists():
        raise FileNotFoundError(
            f"{folder} is not recorded; `python -m helpers.study --only {name}` runs and records it. "
            f"Recorded are: {', '.join(names()) or 'none'}"
        )
    history = folder / "history.csv"
    result = json.loads((folder / "result.json").read_text())
    return Record(folder, pd.read_csv(history) if history.exists() else pd.DataFrame(), result)


def label(name, within=None):
    """ "recorded on <date> by <command> (<device>)", or why it was not run: the line under a recorded figure."""
    result = load(name, within).result
    if result["status"] == NOT_RUN:
        return f"not run: {result['reason']}"
    text = f"recorded on {result['made']['date']} by `{result['command']}` ({result['made']['device']})"
    return text if result["status"] in DONE else f"{text}, unfinished after {result['epochs']} epochs"


def trunk_filters(name):
    """conv1's weights, float16 (96, 3, 11, 11), of one of plan.TRUNKS.

    Raises FileNotFoundError, with the command that makes it, where that trunk is not recorded.
    """
    path = root() / "trunks" / f"{name}.npz"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not recorded; `python -m helpers.pretext --folder runs/trunk_{name} --record` does so, see "
            "CONTRIBUTING.md"
        )
    return np.load(path)["conv1"]


def write_trunk(name, layers, card):
    """Record a trunk: conv1's filters, the fingerprint of all `layers`, and its card, Markdown."""
    folder = root() / "trunks"
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"conv1": layers["conv1_s1"][0].astype(np.float16), "crc32": weights.fingerprint(layers)}
    course.write_atomically(folder / f"{name}.md", card)
    course.write_atomically(folder / f"{name}.npz", lambda part: np.savez_compressed(part, **kept))


def write(run, planned, command, start, filters=None, predictions=None, into=None):
    """Record a solver.Run under planned.name, whole or not at all; an older record of that name is replaced.

    planned: frozen dataclass with a field `name`. start: fingerprint of the initial weights, None for fillers.
    filters: {epoch: array}. predictions: (predicted, true, class names), the test images in an order that does not
    change from run to run; they are kept sorted by class, in which they need half the bytes. into: another folder than
    root().
    """
    rounded = run.history.round({column: DIGITS for column in run.history if column != "learning_rate"})
    rounded["learning_rate"] = [float(f"{rate:.{DIGITS}g}") for rate in run.history["learning_rate"]]
    arrays = {}
    if filters:
        stacked = np.stack([filters[epoch] for epoch in sorted(filters)]).astype(np.float16)
        arrays["conv1"] = {"epochs": sorted(filters), "filters": stacked}
    if predictions:
        predicted, true, classes = predictions
        order = np.argsort(true, kind="stable")
        bytes_ = {"predicted": np.asarray(predicted, np.uint8)[order], "true": np.asarray(true, np.uint8)[order]}
        arrays["predictions"] = bytes_ | {"classes": classes}
    _publish(planned, {"command": command, "start": start} | _rounded(run.result), into, arrays, rounded)


def write_nearest(planned, command, nearest, made, into=None):
    """Record nearest neighbours: nearest is {"validation": (distance, same class), "test": ...}, see Record.nearest."""
    result = {"command": command, "start": None, "status": MEASURED, "made": made}
    arrays = {}
    for name, (distance, right) in nearest.items():
        arrays |= {f"{name}_distance": distance.astype(np.float16), f"{name}_right": right}
        result[f"{name}_accuracy"] = round(float(right.mean()), DIGITS)
    _publish(planned, result, into, {"nearest": arrays})


def write_not_run(planned, reason, into=None):
    """Record that a planned training was not run, and why; not over the record of one that was, finished or not.

    into: another folder than root().
    """
    recorded = (into or root()) / planned.name / "result.json"
    if not recorded.exists() or json.loads(recorded.read_text())["status"] == NOT_RUN:
        _publish(planned, {"status": NOT_RUN, "reason": reason}, into)


def _publish(planned, result, into, arrays=None, history=None):
    """Write a folder whole before it has its name; the older one is deleted once it is out of the way."""
    folder = (into or root()) / planned.name
    part, old = folder.with_suffix(".part"), folder.with_suffix(".old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if history is not None:
        history.to_csv(part / "history.csv", index=False)
    for name, content in (arrays or {}).items():
        np.savez_compressed(part / f"{name}.npz", **content)
    told = {key: value for key, value in dataclasses.asdict(planned).items() if value is not None}
    (part / "result.json").write_text(json.dumps(plain({"planned": told} | result), indent=1) + "\n")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, DIGITS) if isinstance(value, float) else value


def problems(record):
    """What in a Record contradicts itself, as a list of sentences; an empty list is a good record."""
    history, result = record.history, record.result
    name = record.folder.name
    if result["status"] == NOT_RUN:
        return [] if result.get("reason") else [f"{name}: not run, and no reason is given"]
    found = []

    def expect(what, recorded, shown):
        if not np.isclose(recorded, shown, rtol=0, atol=1.5 * 10**-DIGITS):
            found.append(f"{name}: {what} is {recorded} in result.json, {shown} by its own files")

    if result["status"] == MEASURED:
        for part, (_, right) in record.nearest().items():
            expect(f"{part}_accuracy", result[f"{part}_accuracy"], right.mean())
        return found
    if not len(history):
        return [f"{name}: history.csv is missing or has no rows"]
    recipe, best_epoch = result["settings"]["recipe"], result["best_epoch"]
    losses = history["validation_loss"].to_numpy()
    expect("epochs", result["epochs"], len(history))
    expect("the last epoch", result["epochs"], history["epoch"].iloc[-1])
    if not 1 <= best_epoch <= len(history):
        return [*found, f"{name}: the best epoch is {best_epoch}, the history has {len(history)}"]
    expect("best_validation_loss", result["best_validation_loss"], losses[best_epoch - 1])
    if losses.min() < result["best_validation_loss"] - recipe["epsilon"] - 10**-DIGITS:
        found.append(f"{name}: epoch {losses.argmin() + 1} is better than the best epoch, {best_epoch}")
    if result["status"] == "stopped early":
        expect("epochs by the stopping rule", result["epochs"], best_epoch + recipe["patience"] + 1)
    elif result["status"] == "all epochs":
        expect("epochs by the recipe", result["epochs"], recipe["max_epochs"])
    if (record.folder / "predictions.npz").exists():
        predicted, true, _ = record.predictions()
        expect("test_accuracy", result["test_accuracy"], (predicted == true).mean())
        if (true[1:] < true[:-1]).any():
            found.append(f"{name}: the predictions are not sorted by class, so they cannot stand beside another run's")
    return found


def check(planned):
    """Print what is wrong with recorded/ and return True when nothing is. planned: names that must be there."""
    found = [f"{name}: planned, but not recorded, not even as not run" for name in planned if name not in names()]
    found += [f"{name}: recorded, but not in the plan" for name in names() if name not in planned]
    found += [problem for name in names() for problem in problems(load(name))]
    size = sum(path.stat().st_size for path in root().rglob("*") if path.is_file())
    if size > MOST_BYTES:
        found.append(f"recorded/ holds {size} bytes, {MOST_BYTES} are allowed")
    for problem in found:
        print(f"[FAIL] {problem}")
    if not found:
        print(f"[OK]   {len(names())} records agree with their histories ({size / 1e6:.2f} MB)")
    return not found
