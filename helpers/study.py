"""Run the full-size study and record it: `python -m helpers.study`.

--trunk FILE        our jigsaw weights, conv1_s1 to conv5_s1; where they are not given, those that ship
--list              the plan and what is recorded of it
--only NAME,...     these runs alone; * stands for anything
--seconds N         stop before N seconds are over; the same command goes on from there
--jobs N --nets M   N trainings at a time, at most M of them of whole nets (the others train fc6 on one core each)
--not-run REASON    record the chosen runs that have no record as not run
--check             compare recorded/ with its own histories and with the plan
--again             train the chosen runs from the start, whatever is there of them
--dry               everything once on 200 images for one epoch, recorded nowhere
"""

import argparse
import fnmatch
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

from helpers import course, plan, records, runs, trainings, weights

RESERVE = 25.0  # seconds that a run needs after its last epoch: test images, predictions, files
FILTER_EPOCHS = 12  # 65 kB each: conv1 is recorded after each of the first epochs, the best and the last


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.study", description=__doc__.splitlines()[0])
    parser.add_argument("--trunk")
    parser.add_argument("--only", default="*")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--nets", type=int, default=1)
    parser.add_argument("--not-run", metavar="REASON")
    for flag in ("list", "check", "dry", "again"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args(words)
    if options.trunk and not pathlib.Path(options.trunk).is_file():
        parser.error(f"--trunk {options.trunk}: no such file; python -m helpers.pretext makes one")
    return options


def chosen(only):
    """The Planned runs whose names match one of the patterns, in the plan's order. Raises ValueError for none."""
    patterns = only.split(",")
    found = [p for name, p in plan.everything().items() if any(fnmatch.fnmatch(name, one) for one in patterns)]
    if not found:
        raise ValueError(f"--only {only} matches no run; `python -m helpers.study --list` shows their names")
    return found


def start_of(planned, trunk):
    """CRC-32 of the weights that a run starts from, by which a record of another trunk is recognised; None: fillers."""
    return weights.fingerprint(trainings.trunk(planned.start, planned.seed, trunk)) if planned.start else None


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


def keep_filters(folder, planned, trunk, dry=False):
    """A function for solver.fit's on_epoch that keeps conv1 of the newest snapshot, float16, in FOLDER/conv1/.

    It makes that folder itself: fit may move FOLDER aside, with what another training left in it.
    """
    kept = folder / "conv1"

    def keep(row, _):
        kept.mkdir(exist_ok=True)
        if not (kept / "0000.npy").exists():
            statistics = trainings.data_of(planned, dry).statistics
            first = trainings.trunk(planned.start, planned.seed, trunk, statistics)["conv1_s1"][0]
            np.save(kept / "0000.npy", first.astype(np.float16))
        filters = weights.read(max(folder.glob("snapshot_*")) / "last.caffemodel")["conv1_s1"][0]
        np.save(kept / f"{row['epoch']:04d}.npy", filters.astype(np.float16))

    return keep


def filters_of(run, section):
    """{epoch: conv1's filters} worth recording: the first and the best epoch's, in "fine-tuning" the epochs between."""
    paths = {int(path.stem): path for path in (run.folder / "conv1").glob("*.npy")}
    wanted = {0, run.result["best_epoch"]}
    if section == "fine-tuning":
        wanted |= {*range(FILTER_EPOCHS + 1), run.result["epochs"]}
    return {epoch: np.load(paths[epoch]) for epoch in sorted(wanted) if epoch in paths}


def replay(name):
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
            records.write_nearest(planned, command_of(planned, trunk), found, runs.provenance(), into)
            return f"{planned.name}: test accuracy {found['test'][1].mean():.2%} by nearest pixels"
        start = start_of(planned, trunk)
        keep = planned.net == "branch" and planned.trains == "all" and planned.seed == 0
        on_epoch = keep_filters(trainings.folder(planned, dry), planned, trunk, dry) if keep else None
        run = trainings.train(planned, trunk, max(seconds - RESERVE, 1.0), dry, on_epoch)
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
        filters_of(run, planned.section),
        trainings.predictions(planned, run, trunk, dry) if done and planned.seed == 0 else None,
        into=into,
    )
    return (
        f"{planned.name}: test accuracy {run.result['test_accuracy']:.2%}, {run.result['status']} after "
        f"{run.result['epochs']} epochs ({time.monotonic() - began:.0f} s)"
    )


def run_many(waiting, options, deadline):
    """Train Planned runs in processes of their own, `jobs` at a time, each after the run it waits for.

    Returns how many of them failed, and prints which.
    """
    running, unfinished, failed = {}, {planned.name for planned in waiting}, []
    while waiting or running:
        for process, status in [(process, process.poll()) for process in running]:
            if status is not None:
                name = running.pop(process).name
                unfinished.discard(name)  # one that failed is not waited for: the next says so itself
                failed += [name] if status else []
        if deadline - time.monotonic() < 2 * RESERVE:
            waiting = []
        for planned in waiting:
            nets = sum(other.net != "fc6" for other in running.values())
            room = len(running) < options.jobs and (planned.net == "fc6" or nets < options.nets)
            if room and planned.after not in unfinished:
                words = ["--only", planned.name, "--seconds", str(deadline - time.monotonic())]
                words += ["--trunk", str(options.trunk)] if options.trunk else []
                words += [flag for flag in ("--dry", "--again") if vars(options)[flag[2:]]]
                running[subprocess.Popen([sys.executable, "-m", "helpers.study", *words])] = planned
        waiting = [planned for planned in waiting if planned not in running.values()]
        time.sleep(0.1)
    if failed:
        print(f"{', '.join(failed)}: failed, for the reason above; the same command goes on from what is saved")
    return len(failed)


def main(words=None):
    options = arguments(words)
    deadline = time.monotonic() + options.seconds
    if options.check:
        return not records.check(list(plan.everything()))
    runs = chosen(options.only)
    if options.list:
        for planned in runs:
            print(f"{planned.name}: {records.label(planned.name) if planned.name in records.names() else 'to do'}")
        return 0
    if options.not_run:
        for planned in runs:
            if planned.name not in records.names():
                records.write_not_run(planned, options.not_run)
        return 0
    waiting = [planned for planned in runs if options.dry or options.again or not finished(planned, options.trunk)]
    if options.jobs > 1:
        return bool(run_many(waiting, options, deadline))
    for planned in waiting:
        if deadline - time.monotonic() < 2 * RESERVE:
            print(f"{planned.name}: no time left for it; the same command goes on from here")
            break
        if options.again:
            shutil.rmtree(trainings.folder(planned, options.dry))
        print(run_one(planned, options.trunk, deadline - time.monotonic(), options.dry), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
