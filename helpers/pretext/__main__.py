"""Train a trunk on an archive of photographs: by puzzles, by rotations or by labels, the folders of the archive.

    python -m helpers.pretext --photos PHOTOS.zip --folder runs/cfn --task puzzles

All tasks share net, recipe, squares and variations (see tasks). A puzzle is nine tiles; so that an epoch and a batch
are as many passes through the trunk in each task, they count nine tiles where --epoch-puzzles and --batch count one.

The same command again goes on where it stopped; it is the same on one core, several, or a GPU. Each call leaves in the
folder trunk.caffemodel (conv1_s1 to conv5_s1 of the best epoch, BatchNorm folded in), its card trunk.md, and the
permutations, if it was puzzles, in the authors' format.
"""

import argparse
import pathlib
import time
from dataclasses import replace

from helpers import jigsaw, nets, recipes, weights
from helpers.course import write_atomically
from helpers.data import photo_archive, puzzle_stream
from helpers.pretext import tasks
from helpers.pretext.card import card
from helpers.pretext.trunks import EPOCH_PUZZLES, train
from helpers.study import records
from helpers.training import run_folder

RECIPES = {"quick-learner": recipes.CFN_QUICK_LEARNER, "authors": recipes.CFN_AUTHORS}


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.pretext", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=pathlib.Path, required=True, help="zip of photographs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="run folder")
    parser.add_argument("--task", choices=("puzzles", "rotations", "labels"), default="puzzles")
    parser.add_argument("--recipe", choices=RECIPES, default="quick-learner")
    parser.add_argument("--permutations", type=int, default=100, help="of puzzles: how many (default 100)")
    parser.add_argument("--epochs", type=int, help="length of the whole training (default: the recipe's)")
    parser.add_argument("--epoch-puzzles", type=int, default=EPOCH_PUZZLES, help="nine tiles each")
    parser.add_argument("--seconds", type=float, help="pause before this call has taken so long")
    parser.add_argument("--workers", type=int, help="processes that make examples (default: all cores but one)")
    parser.add_argument("--batch", type=int, help="in puzzles (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--record", action="store_true", help="keep conv1 and card of runs/trunk_NAME as NAME in recorded/trunks"
    )
    return parser.parse_args(words)


def main(words=None):
    """The command: train or go on, then write trunk, card and permutations."""
    start = time.perf_counter()
    chosen = arguments(words)
    recipe = RECIPES[chosen.recipe]
    epochs = chosen.epochs or recipe.max_epochs
    recipe = replace(recipe, max_epochs=epochs, patience=epochs, batch_size=chosen.batch or recipe.batch_size)
    workers = puzzle_stream.spare_cores() if chosen.workers is None else chosen.workers
    photos = photo_archive.read(chosen.photos, workers)
    read_for = time.perf_counter() - start
    print(f"{len(photos):,} photographs read in {read_for:.1f} s, {workers} workers", flush=True)
    if chosen.task == "labels":
        photos, folders = photos.labelled()
        task = tasks.Labels(folders)
        print(f"{len(photos):,} photographs in {len(folders):,} folders have labels", flush=True)
    else:
        permutations = jigsaw.choose_permutations(chosen.permutations)
        task = tasks.Rotations() if chosen.task == "rotations" else tasks.Puzzles(permutations)
    run = train(
        task,
        photos,
        chosen.folder,
        recipe,
        chosen.epoch_puzzles,
        seconds=chosen.seconds and chosen.seconds - read_for,
        workers=workers,
        seed=chosen.seed,
    )
    layers = weights.folded_trunk(run.weights())
    weights.write(run.folder / "trunk.caffemodel", layers, nets.trunk())
    command = run_folder.command("helpers.pretext", words)
    text = card(run, task, chosen.photos.name, photos, command)
    write_atomically(run.folder / "trunk.md", text)
    if chosen.record:
        records.write_trunk(chosen.folder.name.removeprefix("trunk_"), layers, text)
    print(f"{run.result['status']}: {run.folder}/trunk.caffemodel and trunk.md, best epoch {run.result['best_epoch']}")


if __name__ == "__main__":
    main()
