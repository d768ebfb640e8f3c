"""Train a trunk on an archive of photographs: by puzzles, by rotations or by labels, the folders of the archive.

    python -m helpers.pretext --photos PHOTOS.zip --folder runs/cfn --task puzzles

All tasks share net, recipe, squares and variations (see tasks). A puzzle is nine tiles; so that an epoch and a batch
are as many passes through the trunk in each task, they count nine tiles where --epoch-puzzles and --batch count one.

The same command again goes on where it stopped; it is the same on one core, several, or a GPU. Each call leaves in the
folder trunk.caffemodel (conv1_s1 to conv5_s1 of the best epoch, BatchNorm folded in), its card trunk.md, and the
permutations, if it was puzzles, in the authors' format.
"""

import argparse
import collections
import pathlib
import time
from dataclasses import replace

from helpers import jigsaw, nets, photo_archive, puzzle_stream, recipes, runs, solver, tasks, weights
from helpers.examples import Examples

RECIPES = {"quick-learner": recipes.CFN_QUICK_LEARNER, "authors": recipes.CFN_AUTHORS}
EPOCH_PUZZLES = 102_400  # 400 batches of 256
HELD_OUT_EVERY = 20  # of so many photographs, in the order of their names, one is never trained on
HELD_OUT_PUZZLES = 2048  # or nine times as many tiles, to score on; fewer where epochs are short, see train
SCORING_BATCH = 64  # puzzles, or nine times as many tiles; a forward pass of 256 would take gigabytes more
CARD_ROWS = 16  # epochs in the card's table, at most
CARD_FOLDERS = 12  # of the archive, named in the card
TRANSFER = """\
## Does it transfer?

The convolutions frozen, `fc6` trained on them by the report's recipe (`helpers/recipes.py`, CIFAR100_LAST_LAYER),
against random convolutions from He's filler; then all layers trained, against the same net from scratch. ± is half of a
95 % interval of the mean over seeds.

<!-- results: written by `make results` -->
<!-- end of results -->
"""


def net(recipe, task):
    """The prototxt that a recipe trains: a puzzle's nine tiles stacked in the batch, the same as nine branches."""
    quick = recipe.name == recipes.CFN_QUICK_LEARNER.name
    return nets.stacked_cfn(
        task.answers,
        task.tile,
        recipe.batch_size,
        fillers="he" if quick else "authors",
        batch_norm=quick,
        batch_norm_fc=quick,
        dropout=not quick,
        tiles=task.tiles,
    )


def train(task, photos, folder, recipe, epoch_puzzles=EPOCH_PUZZLES, seconds=None, workers=None, seed=0):
    """The Run of the CFN's layers on a task, validated on photographs that it never trains on.

    task: see tasks. photos: photo_archive.Photos. epoch_puzzles: an epoch is as many tiles as so many puzzles have;
    recipe.batch_size likewise. One line per epoch is printed. seconds, seed: see solver.fit; workers: see Stream.
    """
    trained, held_out = photos.split(HELD_OUT_EVERY)
    scored = min(HELD_OUT_PUZZLES, max(SCORING_BATCH, epoch_puzzles // 50))  # little time beside that of the epoch
    per_puzzle = nets.TILES // task.tiles
    recipe = replace(recipe, batch_size=per_puzzle * recipe.batch_size)
    size, scored, scoring_batch = (per_puzzle * count for count in (epoch_puzzles, scored, SCORING_BATCH))
    with puzzle_stream.Stream(task, trained, size, recipe.batch_size, workers) as training:
        fixed = puzzle_stream.Stream(task, held_out, scored, scoring_batch, workers=0)
        validation = Examples(*fixed.examples(seed, 0, range(scored)), jigsaw.to_caffe)
        run = solver.fit(
            net(recipe, task),
            recipe,
            training,
            validation,
            folder,
            seed=seed,
            progress=False,
            seconds=seconds,
            scoring_batch=scoring_batch,
            on_epoch=lambda row, active: print(epoch_line(row, active, task, size), flush=True),
        )
    if isinstance(task, tasks.Puzzles):
        jigsaw.save_permutations(run.folder / f"permutations_{task.answers}.bin", task.permutations)
    return run


def epoch_line(row, active, task, size):
    """One line about an epoch of `size` examples; row, active: its rows of history.csv and activity.csv."""
    least = min((name for name in active if name != "epoch"), key=active.get)
    return (
        f"epoch {row['epoch']}: {size / row['seconds']:,.1f} {task.examples}/s, "
        f"waiting {row['waiting'] / row['seconds']:.0%}, "
        f"loss {row['training_loss']:.3f}, held out {row['validation_loss']:.3f}, accuracy "
        f"{row['validation_accuracy']:.1%}, least active {least} {active[least]:.1%}"
    )


def trunk(run):
    """{layer: arrays} of the best epoch's convolutions, BatchNorm folded in where the net has it."""
    convolutions = nets.instantiate(nets.up_to(nets.read(run.folder / "train.prototxt"), "pool5_s1"))
    convolutions.copy_from(str(run.best))
    folded = weights.fold_batch_norm(weights.of(convolutions))
    return {name: folded[name] for name in nets.CONVOLUTIONS}


def card(run, task, archive, photos, command):
    """The model card of a Run's trunk, Markdown; every number comes from the run's own files."""
    made, settings, history = run.result["made"], run.result["settings"], run.history
    recipe = settings["recipe"]
    best = history[history["epoch"] == run.result["best_epoch"]].iloc[0]
    held_out = len(range(0, len(photos), HELD_OUT_EVERY))
    folders = collections.Counter(name.rpartition("/")[0] or "no folder" for name in photos.names)
    sources = ", ".join(f"{folder} {count:,}" for folder, count in sorted(folders.items())[:CARD_FOLDERS])
    sources += f" and {len(folders) - CARD_FOLDERS:,} folders more" if len(folders) > CARD_FOLDERS else ""
    size, scored, _ = settings["examples"]
    seen = best["epoch"] * size
    rows = history.iloc[sorted({round(i * (len(history) - 1) / (CARD_ROWS - 1)) for i in range(CARD_ROWS)})]
    table = [
        f"| {row.epoch:.0f} | {row.epoch * size:,.0f} | {row.learning_rate:.2g} | {row.training_loss:.3f} "
        f"| {row.validation_loss:.3f} | {row.validation_accuracy:.1%} |"
        for row in rows.itertuples()
    ]
    seconds = history["seconds"].sum()
    warnings = [f"- **Warning**: {warning}" for warning in run.result["warnings"]]
    return "\n".join(
        [
            "# trunk.caffemodel: conv1 to conv5 of a Context-Free Network",
            "",
            f"Learnt from {task.learnt}. This card was written by the training itself.",
            "",
            f"- **Held-out accuracy**: {best['validation_accuracy']:.1%} on {scored:,} {task.examples} of "
            f"photographs never trained on, {task.answers:,} {task.answered_by} (chance {1 / task.answers:.1%}), "
            f"after epoch {best['epoch']:.0f} of {recipe['max_epochs']} planned; the training ended as: "
            f"{run.result['status']}.",
            f"- **Data**: {len(photos) - held_out:,} photographs of {archive} for training, {held_out:,} held out "
            f"(every {HELD_OUT_EVERY}th by name); by folder: {sources}; CRC-32 of the archive's list "
            f"{photos.fingerprint():08x}.",
            f"- **{task.examples.capitalize()} seen**: {seen:,.0f}, each dealt once: {task.tiles * seen:,.0f} passes "
            f"of a tile. RGB tiles of {task.tile} pixels {task.shown}, each channel of each tile with mean 0 and "
            f"standard deviation 1; variations: {task.variation}.",
            f"- **Recipe**: {recipe['title']}: {recipe['solver']}, base_lr {recipe['base_lr']}, "
            f"{recipe['lr_policy']}, weight_decay {recipe['weight_decay']}, batch {recipe['batch_size']}, "
            f"seed {settings['seed']}.",
            f"- **Time**: {seconds / 60:,.1f} minutes of epochs, {len(history) * size / seconds:,.1f} "
            f"{task.examples}/s; the solver waited for them {history['waiting'].sum() / seconds:.1%} of it.",
            f"- **Made**: {runs.in_words(made)}.",
            f"- **Command**: `{command}`",
            "- **Licence**: the photographs are for research use and are not part of this repository; use the weights "
            "accordingly, for research and teaching.",
            *warnings,
            "",
            f"| epoch | {task.examples} seen | learning rate | training loss | held-out loss | held-out accuracy |",
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
    parser.add_argument("--task", choices=("puzzles", "rotations", "labels"), default="puzzles")
    parser.add_argument("--recipe", choices=RECIPES, default="quick-learner")
    parser.add_argument("--permutations", type=int, default=100, help="of puzzles: how many (default 100)")
    parser.add_argument("--epochs", type=int, help="length of the whole training (default: the recipe's)")
    parser.add_argument("--epoch-puzzles", type=int, default=EPOCH_PUZZLES, help="nine tiles each")
    parser.add_argument("--seconds", type=float, help="pause before this call has taken so long")
    parser.add_argument("--workers", type=int, help="processes that make examples (default: all cores but one)")
    parser.add_argument("--batch", type=int, help="in puzzles (default: the recipe's)")
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
    weights.write(run.folder / "trunk.caffemodel", trunk(run), nets.trunk())
    command = runs.command("helpers.pretext", words)
    text = card(run, task, chosen.photos.name, photos, command)
    (run.folder / "trunk.md").write_text(text)
    print(f"{run.result['status']}: {run.folder}/trunk.caffemodel and trunk.md, best epoch {run.result['best_epoch']}")


if __name__ == "__main__":
    main()
