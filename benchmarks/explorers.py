#!/usr/bin/env python3
"""How fast the explorers' controls answer: python benchmarks/explorers.py

Moves every control of every explorer through its range, as a reader's hand would after the first picture, and writes
the median and the slowest response of each to benchmarks/explorers.md, in milliseconds: from the new value to the
pictures as HTML. A browser adds what it takes to show an image. The data are the quick profile's, the nets
untrained: nothing is needed first.
"""

import os
import time

import caffe
import numpy as np
import pandas as pd
from ipywidgets import Checkbox, FloatLogSlider, IntSlider

from helpers import evaluation, experiments, explorers, nets, recipes, weights
from helpers.data import datasets
from helpers.explorers.controls import Press
from helpers.pretext import puzzle_head

GOAL = 150  # milliseconds, on two cores that do nothing else
ROUNDS = 3  # of the whole sweep


def sweep(explorer, most=25):
    """Move every control through its range and back, one after the other; yields (its name, its value) at each stop.

    Of a long range about `most` values are visited, both ends among them.
    """
    for name, control in explorer.controls.items():
        values = values_of(control, most)
        start = control.value
        for value in values:
            control.value = value
            yield name, value
        if values and control.value != start:
            control.value = start
            yield name, start


def values_of(control, most):
    """Values that a control can take; none for an upload or the board."""
    if isinstance(control, Checkbox):
        return [not control.value, control.value]
    if isinstance(control, Press):
        return [control.value + 1]
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif isinstance(control, FloatLogSlider):
        values = [control.base**power for power in np.linspace(control.min, control.max, most)]
    elif isinstance(control, IntSlider):
        values = range(control.min, control.max + 1)
    else:
        values = []
    places = sorted({round(place) for place in np.linspace(0, len(values) - 1, min(most, len(values)))})
    return [values[place] for place in places]


class Training:
    """What `explorers.losses` reads of a run: forty epochs of sixteen iterations."""

    def __init__(self, level):
        epoch = np.arange(1, 41)
        fall = level * np.exp(-epoch / 9)
        columns = {"training_loss": fall + 0.2, "validation_loss": fall + 0.9 + 0.05 * np.sin(epoch)}
        columns |= {"training_accuracy": 1 - fall / 4, "validation_accuracy": 0.8 - fall / 4}
        self.history = pd.DataFrame(
            {"epoch": epoch, "iteration": 16 * epoch, "learning_rate": 0.01 * 0.99**epoch, **columns}
        )
        iterations = np.arange(640)
        self.iterations = pd.DataFrame({"iteration": iterations, "loss": 0.3 + level * np.exp(-iterations / 140)})
        self.result = {"best_epoch": 29, "settings": {"recipe": {"patience": 5, "epsilon": 1e-4}}}


def all_explorers():
    """{name: a function that makes the explorer}, on the crops of the embedded photographs and untrained nets."""
    study = experiments.profile_study()
    caffe.set_random_seed(0)
    net = nets.instantiate(nets.branch(len(study.class_names), fillers="he"))
    layers = weights.of(net)
    other = {name: [1.1 * blobs[0] + 0.01, blobs[1]] for name, blobs in layers.items()}
    recorded = {"other": {epoch: layers["conv1_s1"][0] * (1 + epoch / 10) for epoch in range(4)}}
    probabilities = evaluation.probabilities(net, study.test)
    solver = nets.instantiate(
        nets.stacked_cfn(100, batch_size=1, fc6=puzzle_head.FC6, fc7=puzzle_head.FC7, fillers="he", dropout=False)
    )
    return {
        "filters": lambda: explorers.filters(
            {"one": layers, "other": other}, study.branch(), study.test, epochs=recorded
        ),
        "losses": lambda: explorers.losses({"one": Training(2.0), "other": Training(3.0)}),
        "activations": lambda: explorers.activations(layers, study.branch(), study.test, study.class_names),
        "mistakes": lambda: explorers.mistakes(probabilities, study.test.inputs, study.test.labels, study.class_names),
        "learning_rates": lambda: explorers.learning_rates({"CIFAR-100": 333, "Fruits-360": 69}, recipes.REPORT),
        "puzzles": lambda: explorers.puzzles(datasets.load_photos()),
        "contest": lambda: explorers.contest(
            datasets.load_photos(), puzzle_head.permutations(), lambda puzzles: puzzle_head.answers(solver, puzzles)
        ),
    }


def responses(explorer):
    """{control: milliseconds of each response}, the way back to where it stood among them."""
    times, start = {}, time.perf_counter()
    for name, _ in sweep(explorer):
        times.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
    return times


def measure():
    """Rows (explorer, seconds to make it, control, milliseconds (ROUNDS, moves) of each response)."""
    rows = []
    for name, make in all_explorers().items():
        start = time.perf_counter()
        explorer = make()
        made = time.perf_counter() - start
        rounds = [responses(explorer) for _ in range(ROUNDS)]
        rows += [(name, made, control, np.array([one[control] for one in rounds])) for control in rounds[0]]
    return rows


def report(rows, where, load):
    """explorers.md of what was measured."""
    every = np.concatenate([times.ravel() for *_, times in rows])
    rows = [(*row, times.min(axis=0)) for *row, times in rows]
    over = [f"{name}: {control}" for name, _, control, times in rows if np.median(times) > GOAL]
    moves = np.concatenate([times for *_, times in rows])
    lines = [
        "# How fast the explorers' controls answer",
        "",
        f"Written by `python benchmarks/explorers.py` on {where}.",
        f"The machine's load average was {load[0]:.1f} before, of what else it did, and {load[1]:.1f} after.",
        "Milliseconds from a control's new value to the pictures as HTML, after the first draw, over its whole",
        f"range, each move {ROUNDS} times, of which the fastest counts: other work only ever adds.",
        "",
        f"Medians over the goal of {GOAL} ms: {', '.join(over) or 'none'}. Of {len(moves)} moves, "
        f"{(moves > GOAL).sum()} took longer; the slowest took {moves.max():.0f} ms. Of all {len(every)} with their "
        f"repetitions, {(every > GOAL).sum()} took longer; the slowest took {every.max():.0f} ms.",
        "",
        "| explorer | made in (s) | control | moves | median (ms) | slowest (ms) |",
        "|---|---:|---|---:|---:|---:|",
        *(
            f"| {name} | {made:.1f} | {control} | {len(times)} | {np.median(times):.0f} | {times.max():.0f} |"
            for name, made, control, times in rows
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from cpu import machine  # beside this file

    from helpers import course
    from helpers.training import run_folder

    made, before = run_folder.provenance(), os.getloadavg()[0]
    rows = measure()
    where = f"{made['date']}, commit {made['commit']}: {machine()}, Python {made['python']}"
    text = report(rows, where, (before, os.getloadavg()[0]))
    (course.ROOT / "benchmarks" / "explorers.md").write_text(text)
    print(text)
