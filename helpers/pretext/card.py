"""The model card of a trunk: trunk_card.md with numbers from the run's own files."""

import collections
import pathlib

from helpers.pretext.trunks import HELD_OUT_EVERY
from helpers.training import run_folder

CARD_ROWS = 16  # epochs in the card's table, at most
CARD_FOLDERS = 12  # of the archive, named in the card


def filled(template, **values):
    """The text of a card: a Markdown file of this folder with `values` in their places."""
    return pathlib.Path(__file__).with_name(template).read_text("utf-8").format(**values)


def card(run, task, archive, photos, command):
    """The model card of a Run's trunk, Markdown. archive: its name; photos: the Photos in it."""
    result, history = run.result, run.history
    best = history[history["epoch"] == result["best_epoch"]].iloc[0]
    held_out = len(range(0, len(photos), HELD_OUT_EVERY))
    folders = collections.Counter(name.rpartition("/")[0] or "no folder" for name in photos.names)
    sources = ", ".join(f"{folder} {count:,}" for folder, count in sorted(folders.items())[:CARD_FOLDERS])
    sources += f" and {len(folders) - CARD_FOLDERS:,} folders more" if len(folders) > CARD_FOLDERS else ""
    size, scored, _ = result["settings"]["examples"]
    seen, seconds = best["epoch"] * size, history["seconds"].sum()
    rows = history.iloc[sorted({round(i * (len(history) - 1) / (CARD_ROWS - 1)) for i in range(CARD_ROWS)})]
    table = [
        f"| {row.epoch:.0f} | {row.epoch * size:,.0f} | {row.learning_rate:.2g} | {row.training_loss:.3f} "
        f"| {row.validation_loss:.3f} | {row.validation_accuracy:.1%} |"
        for row in rows.itertuples()
    ]
    return filled(
        "trunk_card.md",
        task=task,
        archive=archive,
        command=command,
        result=result,
        recipe=result["settings"]["recipe"],
        best=best,
        scored=scored,
        chance=1 / task.answers,
        trained=len(photos) - held_out,
        held_out=held_out,
        every=HELD_OUT_EVERY,
        sources=sources,
        fingerprint=photos.fingerprint(),
        examples=task.examples.capitalize(),
        seen=seen,
        passes=task.tiles * seen,
        minutes=seconds / 60,
        speed=len(history) * size / seconds,
        waiting=history["waiting"].sum() / seconds,
        made=run_folder.in_words(result["made"]),
        warnings="".join(f"- **Warning**: {warning}\n" for warning in result["warnings"]),
        table="\n".join(table),
    )
