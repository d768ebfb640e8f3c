"""Run the full-size study and record it: `python -m helpers.study`. It goes on where it stopped."""

import argparse
import fnmatch
import functools
import pathlib
import shutil
import sys
import time

from helpers.study import ledger, plan, records, trainings
from helpers.study.runner import RESERVE, finished, run_one


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.study", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--trunk", metavar="FILE", help="our jigsaw weights, conv1_s1 to conv5_s1 (default: those that ship)")
    add("--list", action="store_true", help="the plan and what is recorded of it")
    add("--only", metavar="NAME,...", default="*", help="these runs alone; * stands for anything")
    add("--seconds", type=float, default=float("inf"), help="stop before so many are over")
    add("--jobs", type=int, default=1, help="so many trainings at a time ...")
    add("--nets", type=int, default=1, help="... at most so many of whole nets; the others train fc6 on one core each")
    add("--scheduler", metavar="ADDRESS", help="Dask's, tcp://HOST:8786, of machines that share this folder")
    add("--not-run", metavar="REASON", help="record the chosen runs that have no record as not run")
    add("--check", action="store_true", help="compare recorded/ with its histories, it and the ledger with the plan")
    add("--again", action="store_true", help="train the chosen runs from the start, whatever is there of them")
    add("--dry", action="store_true", help="everything once on 200 images for one epoch, recorded nowhere")
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


def carry_out(planned, options, until):
    """Train one run and record it; returns the line that says how it went. until: when to stop, by time.time()."""
    left = until - time.time()
    if left < 2 * RESERVE:
        return f"{planned.name}: no time left for it; the same command goes on from here"
    return run_one(planned, options.trunk, left, options.dry)


def main(words=None):
    options = arguments(words)
    until = time.time() + options.seconds
    if options.check:
        checked = records.check(list(plan.everything())), ledger.check()
        return not all(checked)
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
    if options.again:
        for planned in waiting:
            shutil.rmtree(trainings.folder(planned, options.dry))
    function = functools.partial(carry_out, options=options, until=until)
    if options.jobs == 1 and not options.scheduler:
        for planned in waiting:
            print(function(planned), flush=True)
        return 0
    from helpers.study.sweep import sweep  # here, for Dask is needed for several at a time only

    failed = sweep(waiting, function, options.jobs, options.nets, options.scheduler)
    if failed:
        print(f"{', '.join(failed)}: failed, for the reasons above; the same command goes on from what is saved")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
