"""The model card of a trunk; every number comes from the run's own files."""

import collections

from helpers.pretext.trunks import HELD_OUT_EVERY
from helpers.training import run_folder

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
            f"- **Made**: {run_folder.in_words(made)}.",
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
