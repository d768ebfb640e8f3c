"""A trunk learnt from an archive of photographs by one of the tasks: its net, its training, its convolutions."""

from dataclasses import replace

from helpers import jigsaw, nets, recipes, solver
from helpers.data import puzzle_stream
from helpers.data.examples import Examples
from helpers.pretext import tasks

EPOCH_PUZZLES = 102_400  # 400 batches of 256
HELD_OUT_EVERY = 20  # of so many photographs, in the order of their names, one is never trained on
HELD_OUT_PUZZLES = 2048  # or nine times as many tiles, to score on; fewer where epochs are short, see train
SCORING_BATCH = 64  # puzzles, or nine times as many tiles; a forward pass of 256 would take gigabytes more


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
        validation = Examples(*fixed.examples(seed, 0, range(scored)), jigsaw.to_caffe, "to_caffe")
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
