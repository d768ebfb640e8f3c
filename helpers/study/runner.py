"""One planned run of the full-size study: train it or go on with it, and record it."""

import pathlib
import time

import numpy as np

from helpers import course, weights
from helpers.study import plan, records, trainings
from helpers.training import run_folder

RESERVE = 25.0  # seconds that a run needs after its last epoch: test images, predictions, files
FILTER_EPOCHS = 12  # 65 kB each: conv1 is recorded after each of the first epochs, the best and the last


def start_of(planned, trunk):
    """CRC-32 of the weights that a run starts from, by which a record of another trunk is recognised; None: fillers."""
    return weights.fingerprint(trainings.start_weights(planned.start, planned.seed, trunk)) if planned.start else None


def finished(planned, trunk):
    """True where a run is recorded to its end from the weights that it would start from now, if they are at hand."""
    if planned.name not in records.names():
        return False
    result = records.load(planned.name).result
    try:
        return result["status"] in records.DONE and result["start"] == start_of(planned, trunk)
    except trainings.NotAtHand:
        return True


def command_of(planned, trunk):
    """The command that repeats one run."""
    from_trunk = f" --trunk {pathlib.Path(trunk).name}" if planned.start == "jigsaw" and trunk else ""
    return f"python -m helpers.study --again --only {planned.name}{from_trunk}"


def keep_filters(resolved):
    """A function for solver.fit's on_epoch that keeps conv1 of the newest snapshot, float16, in the run folder's conv1.

    It makes that folder itself: fit may move the run folder aside, with what another training left in it.
    """
    kept = resolved.folder / "conv1"

    def keep(row, _):
        kept.mkdir(exist_ok=True)
        if not (kept / "0000.npy").exists():
            np.save(kept / "0000.npy", resolved.initial["conv1_s1"][0].astype(np.float16))
        filters = weights.read(max(resolved.folder.glob("snapshot_*")) / "last.caffemodel")["conv1_s1"][0]
        np.save(kept / f"{row['epoch']:04d}.npy", filters.astype(np.float16))

    return keep


def filters_of(run):
    """{epoch: conv1's filters} worth recording: before the first, of the first epochs, the best and the last."""
    paths = {int(path.stem): path for path in (run.folder / "conv1").glob("*.npy")}
    wanted = {*range(FILTER_EPOCHS + 1), run.result["best_epoch"], run.result["epochs"]}
    return {epoch: np.load(paths[epoch]) for epoch in sorted(wanted) if epoch in paths}


def at_full_size(name):
    """(Record, its records.label) of a planned training, to be shown beside what a notebook trains.

    In `quick` it is what ships with the course. In `full` the training is carried out first, unless this machine has
    done so already, and its record lies among the runs: hours for a whole net on a CPU, minutes on a GPU.
    """
    into = records.root()
    if course.profile() == "full":
        into = course.run_folder("recorded")
        print(run_one(plan.everything()[name], None, float("inf"), into=into))
    return records.load(name, into), records.label(name, into)


def run_one(planned, trunk, seconds, dry=False, into=None):
    """Train one Planned run, or go on with it, and record it. Returns the line that says how it went.

    into: folder of the record; None: records.root(), or with `dry` one among the runs.
    """
    began, into = time.monotonic(), course.run_folder("dry/recorded") if dry else into
    try:
        if planned.net == "pixels":
            found = trainings.nearest(planned, dry)
            records.write_nearest(planned, command_of(planned, trunk), found, run_folder.provenance(), into)
            return f"{planned.name}: test accuracy {found['test'][1].mean():.2%} by nearest pixels"
        start = start_of(planned, trunk)
        until = began + max(seconds - RESERVE, 1.0)
        resolved = trainings.resolve(planned, trunk, dry, until)
        looked_at = planned.section == "fine-tuning" and planned.seed == 0 and not planned.epochs  # notebooks 05, 08
        run = trainings.train(resolved, until, keep_filters(resolved) if looked_at else None)
    except trainings.NotAtHand as reason:
        records.write_not_run(planned, str(reason), into)
        return f"{planned.name}: not run, {reason}"
    except trainings.OutOfTime as reason:
        return f"{planned.name}: no time left, {reason}; the same command goes on from there"
    done = run.result["status"] in records.DONE
    records.write(
        run,
        planned,
        command_of(planned, trunk),
        start,
        filters_of(run),
        trainings.predictions(resolved, run) if done and planned.seed == 0 else None,
        into=into,
    )
    return (
        f"{planned.name}: test accuracy {run.result['test_accuracy']:.2%}, {run.result['status']} after "
        f"{run.result['epochs']} epochs ({time.monotonic() - began:.0f} s)"
    )
