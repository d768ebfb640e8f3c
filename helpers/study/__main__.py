"""Run the full-size study and record it: `python -m helpers.study`.

--trunk FILE        our jigsaw weights, conv1_s1 to conv5_s1; where they are not given, those that ship
--list              the plan and what is recorded of it
--only NAME,...     these runs alone; * stands for anything
--seconds N         stop before N seconds are over; the same command goes on from there
--jobs N --nets M   N trainings at a time, at most M of them of whole nets (the others train fc6 on one core each)
--scheduler ADDRESS Dask's, tcp://HOST:8786, of a cluster whose machines share this folder, instead of --jobs' own
--not-run REASON    record the chosen runs that have no record as not run
--check             compare recorded/ with its own histories and with the plan
--again             train the chosen runs from the start, whatever is there of them
--dry               everything once on 200 images for one epoch, recorded nowhere
"""

import argparse
import fnmatch
import functools
import pathlib
import shutil
import sys
import time

from helpers.study import plan, records, trainings
from helpers.study.runner import RESERVE, finished, run_one


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.study", description=__doc__.splitlines()[0])
    parser.add_argument("--trunk")
    parser.add_argument("--only", default="*")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--nets", type=int, default=1)
    parser.add_argument("--scheduler", metavar="ADDRESS")
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
