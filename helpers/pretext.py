"""Train the CFN on puzzles of an archive of photographs.

    python -m helpers.pretext --photos PHOTOS.zip --folder runs/cfn

The same command again goes on where it stopped; it is the same on one core, several, or a GPU. Each call leaves in the
folder trunk.caffemodel (conv1_s1 to conv5_s1 of the best epoch, BatchNorm folded in), its card trunk.md, and the
permutations in the authors' format.
"""

import argparse
import collections
import pathlib
import time
from dataclasses import replace

from helpers import jigsaw, nets, photo_archive, puzzle_stream, recipes, runs, solver, weights
from helpers.examples import Examples

RECIPES = {"quick-learner": recipes.CFN_QUICK_LEARNER, "authors": recipes.CFN_AUTHORS}
EPOCH_PUZZLES = 102_400  # 400 batches of 256
HELD_OUT_EVERY = 20  # of so many photographs, in the order of their names, one is never trained on
HELD_OUT_PUZZLES = 2048  # to score on; fewer where epochs are short, see train
SCORING_BATCH = 64  # puzzles; a forward pass of 256 would take gigabytes more
CARD_ROWS = 16  # epochs in the card's table, at most
TRANSFER = """\
## Does it transfer?

The convolutions frozen, `fc6` trained on them by the report's recipe (`helpers/recipes.py`, CIFAR100_LAST_LAYER),
against random convolutions from He's filler; then all layers trained, against the same net from scratch. ± is half of a
95 % interval of the mean over seeds.

<!-- results: written by `make results` -->
<!-- end of results -->
"""


def net(recipe, permutations):
    """The prototxt that a recipe trains: nine tiles stacked in the batch, the same function as nine branches."""
    quick = recipe.name == recipes.CFN_QUICK_LEARNER.name
    return nets.stacked_cfn(
        permutations,
        jigsaw.TILE,
        recipe.batch_size,
        fillers="he" if quick else "authors",
        batch_norm=quick,
        batch_norm_fc=quick,
        dropout=not quick,
    )


def train(photos, folder, recipe, permutations=100, epoch_puzzles=EPOCH_PUZZLES, seconds=None, workers=None, seed=0):
    """The Run of the CFN on puzzles of `photos`, validated on puzzles of photographs that it never trains on.

    photos: photo_archive.Photos. permutations: how many. epoch_puzzles: puzzles in an epoch. One line per epoch is
    printed. seconds, seed: see solver.fit; workers: see PuzzleStream.
    """
    trained, held_out = photos.split(HELD_OUT_EVERY)
    scored = min(HELD_OUT_PUZZLES, max(SCORING_BATCH, epoch_puzzles // 50))  # little time beside that of the epoch
    chosen = jigsaw.choose_permutations(permutations)
    with puzzle_stream.PuzzleStream(trained, chosen, epoch_puzzles, recipe.batch_size, workers=workers) as training:
        fixed = puzzle_stream.PuzzleStream(held_out, chosen, scored, SCORING_BATCH, workers=0)
        validation = Examples(*fixed.puzzles(seed, 0, range(scored)), jigsaw.to_caffe)
        run = solver.fit(
            net(recipe, permutations),
            recipe,
            training,
            validation,
            folder,
            seed=seed,
            progress=False,
            seconds=seconds,
            scoring_batch=SCORING_BATCH,
            on_epoch=lambda row, active: print(epoch_line(row, active, epoch_puzzles), flush=True),
        )
    jigsaw.save_permutations(run.folder / f"permutations_{permutations}.bin", chosen)
    return run


def epoch_line(row, active, puzzles):
    """One line about an epoch; row, active: its rows of history.csv and activity.csv."""
    least = min((name for name in active if name != "epoch"), key=active.get)
    return (
        f"epoch {row['epoch']}: {puzzles / row['seconds']:,.1f} puzzles/s, "
        f"waiting {row['waiting'] / row['seconds']:.0%}, "
        f"loss {row['training_loss']:.3f}, held out {row['validation_loss']:.3f}, accuracy "
        f"{row['validation_accuracy']:.1%}, least active {least} {active[least]:.1%}"
    )


def trunk(run):
    """{layer: arrays} of the best epoch's convolutions, BatchNorm folded in where the net has it."""
    whole = nets.read(run.folder / "train.prototxt")
    last = [layer.name for layer in whole.layer].index("pool5_s1")
    del whole.layer[last + 1 :]
    convolutions = nets.instantiate(whole)
    convolutions.copy_from(str(run.best))
    folded = weights.fold_batch_norm(weights.of(convolutions))
    return {name: folded[name] for name in nets.CONVOLUTIONS}


def card(run, archive, photos, permutations, epoch_puzzles, command):
    """The model card of a Run's trunk, Markdown; every number comes from the run's own files."""
    made, settings, history = run.result["made"], run.result["settings"], run.history
    recipe = settings["recipe"]
    best = history[history["epoch"] == run.result["best_epoch"]].iloc[0]
    held_out = len(range(0, len(photos), HELD_OUT_EVERY))
    folders = collections.Counter(name.rpartition("/")[0] or "no folder" for name in photos.names)
    sources = ", ".join(f"{folder} {count:,}" for folder, count in sorted(folders.items()))
    rows = history.iloc[sorted({round(i * (len(history) - 1) / (CARD_ROWS - 1)) for i in range(CARD_ROWS)})]
    table = [
        f"| {row.epoch:.0f} | {row.epoch * epoch_puzzles:,.0f} | {row.learning_rate:.2g} | {row.training_loss:.3f} "
        f"| {row.validation_loss:.3f} | {row.validation_accuracy:.1%} |"
        for row in rows.itertuples()
    ]
    seconds = history["seconds"].sum()
    warnings = [f"- **Warning**: {warning}" for warning in run.result["warnings"]]
    return "\n".join(
        [
            "# trunk.caffemodel: conv1 to conv5 of a Context-Free Network",
            "",
            "Learnt from jigsaw puzzles alone (Noroozi & Favaro, ECCV 2016); no label of any photograph was used. "
            "This card was written by the training itself.",
            "",
            f"- **Held-out accuracy**: {best['validation_accuracy']:.1%} on {settings['examples'][1]:,} puzzles of "
            f"photographs never trained on, {permutations} permutations (chance {1 / permutations:.1%}), after epoch "
            f"{best['epoch']:.0f} of {recipe['max_epochs']} planned; the training ended as: {run.result['status']}.",
            f"- **Data**: {len(photos) - held_out:,} photographs of {archive} for training, {held_out:,} held out "
            f"(every {HELD_OUT_EVERY}th by name); by folder: {sources}; CRC-32 of the archive's list "
            f"{photos.fingerprint():08x}.",
            f"- **Puzzles seen**: {best['epoch'] * epoch_puzzles:,.0f}, each dealt once. RGB tiles of {jigsaw.TILE} "
            f"pixels from cells of {jigsaw.CELL}, each channel of each tile with mean 0 and standard deviation 1; "
            f"variations: {jigsaw.Variation()}.",
            f"- **Recipe**: {recipe['title']}: {recipe['solver']}, base_lr {recipe['base_lr']}, "
            f"{recipe['lr_policy']}, weight_decay {recipe['weight_decay']}, batch {recipe['batch_size']}, "
            f"seed {settings['seed']}.",
            f"- **Time**: {seconds / 60:,.1f} minutes of epochs, {len(history) * epoch_puzzles / seconds:,.1f} "
            f"puzzles/s; the solver waited for puzzles {history['waiting'].sum() / seconds:.1%} of it.",
            f"- **Made**: {runs.in_words(made)}.",
            f"- **Command**: `{command}`",
            "- **Licence**: the photographs are for research use and are not part of this repository; use the weights "
            "accordingly, for research and teaching.",
            *warnings,
            "",
            "| epoch | puzzles seen | learning rate | training loss | held-out loss | held-out accuracy |",
            "|---|---|---|---|---|---|",
            *table,
            "",
            TRANSFER,
        ]
    )


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="python -m helpers.pretext", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=pathlib.Path, required=True, help="zip of photographs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="run folder")
    parser.add_argument("--recipe", choices=RECIPES, default="quick-learner")
    parser.add_argument("--permutations", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--epochs", type=int, help="length of the whole training (default: the recipe's)")
    parser.add_argument("--epoch-puzzles", type=int, default=EPOCH_PUZZLES, help=f"default {EPOCH_PUZZLES}")
    parser.add_argument("--seconds", type=float, help="pause before this call has taken so long")
    parser.add_argument("--workers", type=int, help="processes that make puzzles (default: all cores but one)")
    parser.add_argument("--batch", type=int, help="puzzles in a batch (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0)
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
    run = train(
        photos,
        chosen.folder,
        recipe,
        chosen.permutations,
        chosen.epoch_puzzles,
        seconds=chosen.seconds and chosen.seconds - read_for,
        workers=workers,
        seed=chosen.seed,
    )
    weights.write(run.folder / "trunk.caffemodel", trunk(run))
    command = runs.command("helpers.pretext", words)
    text = card(run, chosen.photos.name, photos, chosen.permutations, chosen.epoch_puzzles, command)
    (run.folder / "trunk.md").write_text(text)
    print(f"{run.result['status']}: {run.folder}/trunk.caffemodel and trunk.md, best epoch {run.result['best_epoch']}")


if __name__ == "__main__":
    main()
