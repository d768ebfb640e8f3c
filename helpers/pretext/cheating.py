"""What a network learns where a precaution against cheating is missing.

    python -m helpers.pretext.cheating --photos PHOTOS.zip

trains the small CFN of notebook 01 once with all precautions and once without each of them, examines every network on
every kind of puzzle, cut from photographs that none was trained on, and records the table in recorded/cheating.csv.
It can be stopped and goes on; --only NAME/... trains some of the networks, so that cores can share the work.
"""

import argparse
import json
import pathlib
from dataclasses import dataclass, replace

import caffe
import pandas as pd

from helpers import course, experiments, jigsaw, recipes, solver
from helpers.data import photo_archive, puzzle_stream
from helpers.data.examples import Examples
from helpers.pretext import tasks, trunks
from helpers.study import records
from helpers.training import run_folder

EPOCH_PUZZLES = 5_120
EXAM_PUZZLES = 2_048
CAREFUL = jigsaw.Variation(scale=(0.7, 1.0), blur=0.0, shift=1)  # shift: half the paper's 2, as the tile is half


@dataclass(frozen=True)
class Kind:
    """One kind of puzzle: the cell its tiles of experiments.TILE pixels are cut from, and how it is varied."""

    cell: int = experiments.CELL
    variation: jigsaw.Variation = CAREFUL


# Without a gap cells are as small as tiles. The square shrinks with them, so that one pixel still shows as much of a
# photograph.
SHRUNK = tuple(experiments.TILE / experiments.CELL * share for share in CAREFUL.scale)
KINDS = {
    "all precautions": Kind(),
    "no gap": Kind(experiments.TILE, replace(CAREFUL, scale=SHRUNK)),
    "no normalisation of each tile": Kind(variation=replace(CAREFUL, per_tile=False)),
    "no grey, no colour shift": Kind(variation=replace(CAREFUL, grey=0.0, shift=0)),
}


def stream(photos, kind, size, batch_size):
    """A Stream of puzzles of one Kind."""
    permutations = jigsaw.choose_permutations(experiments.PERMUTATIONS)
    task = tasks.Puzzles(permutations, kind.variation, kind.cell, experiments.TILE)
    return puzzle_stream.Stream(task, photos, size, batch_size, workers=0)


def exam(photos, kind):
    """Examples: the same photographs, labels and cuts whatever the kind, as far as the kind allows."""
    puzzles = stream(photos, kind, EXAM_PUZZLES, 1).examples(1, 0, range(EXAM_PUZZLES))
    per_tile = kind.variation.per_tile
    return Examples(*puzzles, lambda batch: jigsaw.to_caffe(batch, per_tile=per_tile), f"to_caffe, {per_tile=}")


def train(photos, name):
    """The Run of the small CFN on puzzles of the Kind `name`. photos: Photos, split as trunks.train splits them."""
    trained, held_out = photos.split(trunks.HELD_OUT_EVERY)
    recipe = recipes.PUZZLES_CHEATING
    with stream(trained, KINDS[name], EPOCH_PUZZLES, recipe.batch_size) as training:
        folder = course.run_folder(f"cheating_{name.replace(' ', '_').replace(',', '')}")
        return solver.fit(
            experiments.pretext_net(), recipe, training, exam(held_out, KINDS[name]), folder, progress=False
        )


def examine(run, photos):
    """{kind: share of its puzzles solved, in [0, 1]} by a Run's best epoch, on held-out photographs."""
    net = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST, weights=str(run.best))
    held_out = photos.split(trunks.HELD_OUT_EVERY)[1]
    return {name: solver.score(net, exam(held_out, kind))[1] for name, kind in KINDS.items()}


def record(runs_, photos, archive, command):
    """Write recorded/cheating.csv, a row per network and a column per exam, and cheating.json, how it was made."""
    table = pd.DataFrame.from_dict({name: examine(run, photos) for name, run in runs_.items()}, orient="index")
    made = next(iter(runs_.values())).result["made"]
    told = {
        "command": command,
        "made": made,
        "archive": archive,
        "photos": len(photos),
        "puzzles_each": EPOCH_PUZZLES * recipes.PUZZLES_CHEATING.max_epochs,
        "exam_puzzles": EXAM_PUZZLES,
        "permutations": experiments.PERMUTATIONS,
    }
    course.write_atomically(records.root() / "cheating.csv", table.to_csv(index_label="trained with"))
    course.write_atomically(records.root() / "cheating.json", json.dumps(told, indent=1))
    return table


def recorded():
    """(DataFrame of solved shares, a row per network and a column per exam; how it was made, a dict), as recorded."""
    table = pd.read_csv(records.root() / "cheating.csv", index_col=0)
    return table, json.loads((records.root() / "cheating.json").read_text())


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m helpers.pretext.cheating", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=pathlib.Path, required=True, help="zip of photographs")
    parser.add_argument("--only", help="networks to train, by name, separated by /; default all, then the table")
    chosen = parser.parse_args(words)
    photos = photo_archive.read(chosen.photos, puzzle_stream.spare_cores())
    names = chosen.only.split("/") if chosen.only else list(KINDS)
    trained = {name: train(photos, name) for name in names}
    for name, run in trained.items():
        print(f"{name}: {run.result['status']}, {run.history['validation_accuracy'].max():.1%} of its own puzzles")
    if not chosen.only and all(run.result["status"] in run_folder.FINISHED for run in trained.values()):
        command = run_folder.command("helpers.pretext.cheating", words)
        print((100 * record(trained, photos, chosen.photos.name, command)).round(1).to_string())


if __name__ == "__main__":
    main()
