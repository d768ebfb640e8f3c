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

from helpers.study import plan, records, trainings
from helpers.study.runner import RESERVE, finished, run_one


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
