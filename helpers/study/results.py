"""Tables of what is recorded: one row per training, means with intervals over seeds, ours beside the report's."""

import re

import numpy as np
import pandas as pd
from scipy import stats

from helpers import recipes
from helpers.study import plan, records

STARTS = {"jigsaw": "jigsaw (ours)", "he": "random"} | plan.TRUNKS
ON_81 = r"fruits360_81_\w+_last_layer_{start}"  # the names of those runs on every draw of 81 classes, see spread
# row of the table: (what the report says, {column: names of the runs without their seeds})
ROWS = {
    "CIFAR-100, last layer": (
        recipes.CIFAR100_LAST_LAYER.reported_test_accuracy,
        {label: f"cifar100_last_layer_{start}" for start, label in STARTS.items()},
    ),
    "CIFAR-100, fine-tuning": (
        recipes.CIFAR100_FINE_TUNE.reported_test_accuracy,
        {"jigsaw (ours)": "cifar100_fine_tune_jigsaw", "random": "cifar100_scratch"},
    ),
    "CIFAR-100, AlexNetC100": (recipes.ALEXNET_C100_ACCURACY_REPORTED, {"random": "cifar100_alexnet_c100"}),
    "CIFAR-100, AlexNet on 64x64 pixels": (None, {"random": "cifar100_alexnet"}),
    "Fruits-360, last layer": (
        recipes.FRUITS360_LAST_LAYER.reported_test_accuracy,
        {label: ON_81.format(start=start) for start, label in list(STARTS.items())[:2]},
    ),
    "Fruits-360, fine-tuning": (
        recipes.FRUITS360_FINE_TUNE.reported_test_accuracy,
        {"jigsaw (ours)": "fruits360_81_first_fine_tune_jigsaw", "random": "fruits360_81_first_scratch"},
    ),
}
TOLD = ("status", "epochs", "best_epoch", "test_accuracy", "validation_accuracy", "classes", "seconds", "reason")


def rows():
    """A DataFrame of everything recorded, a row per name: what was planned, status, epochs, accuracies."""
    results = [records.load(name).result for name in records.names()]
    found = [result["planned"] | {key: result[key] for key in TOLD if key in result} for result in results]
    return pd.DataFrame(found, columns=None if found else ["name"]).set_index("name")


def interval(values):
    """(mean, half width) of Student's 95 % interval of the mean of independent values; NaN for a single one."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.interval(0.95, len(values) - 1)[1] * stats.sem(values))


def over_seeds(table, by):
    """Mean test accuracy with `interval` and the number of seeds, grouped by the columns `by` of (part of) `rows()`."""
    finished = table[table["status"].isin(records.DONE)]
    grouped = finished.groupby(by, dropna=False)["test_accuracy"]
    rows = {key: (*interval(values), len(values)) for key, values in grouped}
    names = ["accuracy", "half_width", "seeds"]
    index = pd.Index(rows, name=by) if isinstance(by, str) else pd.MultiIndex.from_tuples(rows, names=by)
    return pd.DataFrame(list(rows.values()), index=index, columns=names)


def over_trunks():
    """Test accuracies of the last layer on CIFAR-100: a row per name of plan.TRUNKS, a column per seed of the trunk.

    fc6 has seed 0 on each: in a row differ the trunk's initial weights and the examples that it learnt from. NaN: not
    finished.
    """
    done = rows()
    done = done[done["status"].isin(records.DONE)]["test_accuracy"]
    found = {trunk: [] for trunk in plan.TRUNKS}
    for name, trunk in plan.EACH_TRUNK.items():
        found[trunk].append(done.get(f"cifar100_last_layer_{name}_s0"))
    return pd.DataFrame(found, pd.Index(plan.SEEDS, name="seed of the trunk"), dtype=float).T


def over_scales(start):
    """The last layer on `start`'s pool5 by what it was multiplied by (index): `over_seeds`, and validation accuracy.

    validation: of the best epoch, mean over seeds; the test images must not choose a scale.
    """
    table = rows().query("data == 'cifar100' and section in ['last layer', 'feature scale'] and start == @start")
    table = table[table["status"].isin(records.DONE)].copy()
    table["times"] = table["times"].fillna(1.0) if "times" in table else 1.0
    done = map(records.load, table.index)
    table["validation"] = [
        one.history.set_index("epoch").loc[one.result["best_epoch"], "validation_accuracy"] for one in done
    ]
    return over_seeds(table, "times").assign(validation=table.groupby("times")["validation"].mean()).sort_index()


def at_best_scale(start):
    """Name, without its seed, of the last layer's run on `start`'s pool5 with the highest validation accuracy."""
    scales = over_scales(start)
    times = scales["validation"].idxmax() if len(scales) else 1.0
    return f"cifar100_last_layer_{start}{plan.scaled(times)}"


def over_recipes(start):
    """Test accuracies of the last layer on `start`'s pool5: a row per seed, a column per recipe, see plan.CHANGES.

    In a row the trunk and the images are the same, and the order of the batches where their size is. NaN: not finished.
    """
    table, changes = rows(), {"the report's recipe": ""} | {change: f"_{change}" for change in plan.CHANGES}
    done = table[table["status"].isin(records.DONE)]["test_accuracy"]
    columns = {
        change: [done.get(f"cifar100_last_layer_{start}{suffix}_s{seed}") for seed in plan.SEEDS]
        for change, suffix in changes.items()
    }
    return pd.DataFrame(columns, pd.Index(plan.SEEDS, name="seed"), dtype=float)


def long_enough():
    """What `rows` gives of the whole branch on CIFAR-100 that had plan.EPOCHS epochs or more, one of each seed.

    The report's rule stops some seeds before the learning rate falls; those count by a run that goes on regardless.
    """
    table = rows().query("data == 'cifar100' and section in ['fine-tuning', 'stopping rule']")
    return table[table["status"].isin(records.DONE) & (table["epochs"] >= plan.EPOCHS)]


def seeds(name):
    """The Records of the runs called `name` (a name, or a regular expression of several), with a seed behind or not."""
    return [records.load(one) for one in records.names() if re.fullmatch(rf"{name}(_s\d+)?", one)]


def spread(found, measure):
    """(values, "seed" or "draw"): what an `interval` is over, of `measure` of each finished Record in `found`.

    A value per seed; of runs on several draws of classes one per draw, the mean of its seeds, for the seeds of one draw
    share its images.
    """
    draws = {}
    for one in found:
        if one.result["status"] in records.DONE:
            draws.setdefault(re.sub(r"_s\d+$", "", one.folder.name), []).append(measure(one))
    if len(draws) > 1:
        return [float(np.mean(values)) for values in draws.values()], "draw"
    return list(*draws.values()), "seed"


def measured(name):
    """What README says of the runs called `name` (see seeds): accuracy and interval, or why not."""
    found = seeds(name)
    results = [one.result for one in found]
    done, _ = spread(found, lambda one: one.result["test_accuracy"])
    if done:
        return _told(done)
    unfinished = [result for result in results if result["status"] != records.NOT_RUN]
    if unfinished:
        return f"{unfinished[0]['test_accuracy']:.1%}, unfinished after {unfinished[0]['epochs']} epochs"
    return "not run"


def _told(accuracies):
    if not len(accuracies):
        return "not run"
    mean, half = interval(accuracies)
    return f"{mean:.1%}" if len(accuracies) == 1 else f"{mean:.1%} ± {half:.1%}"


def _alike(table, start):
    """(accuracies of that start's runs in `table`, which is `long_enough`, the same in words)."""
    values = table[table["start"] == start]["test_accuracy"].tolist()
    return values, _told(values)


def transfer(start="jigsaw"):
    """A trunk's card's table, Markdown: what it adds on CIFAR-100, by the layer that fc6 reads and fine-tuned.

    start: as a Planned's.
    """
    source = {"jigsaw": "puzzles", **plan.TRUNKS}[plan.EACH_TRUNK.get(start, start)]
    layers = plan.PROBED if start in STARTS else ()  # of further trunks, pool5 alone is read
    lines = [
        f"| CIFAR-100, test accuracy | from {source} | seeds | random (He) | seeds | difference |",
        "|---" * 6 + "|",
    ]
    names = {f"frozen, {layer}": [f"cifar100_last_layer_{one}_{layer}" for one in (start, "he")] for layer in layers}
    names["frozen, pool5"] = [f"cifar100_last_layer_{one}" for one in (start, "he")]
    scaled = ""
    if start == "jigsaw":
        names["fine-tuned until the report's rule stops"] = ["cifar100_fine_tune_jigsaw", "cifar100_scratch"]
        names["frozen, pool5, each at its best scale"] = [at_best_scale("jigsaw"), at_best_scale("he")]
        scales = ", ".join(f"{times:g}" for times in sorted((1.0, *plan.FACTORS)))
        scaled = f"The best scale is that of the highest validation accuracy when pool5 is multiplied by {scales}. "
    for title, pair in names.items():
        done = [
            [one.result["test_accuracy"] for one in seeds(name) if one.result["status"] in records.DONE]
            for name in pair
        ]
        lines.append(_compared(title, done, [measured(name) for name in pair]))
    alike = long_enough()
    done, told = zip(_alike(alike, start), _alike(alike, "he"))
    lines.append(_compared(f"fine-tuned, each seed for {plan.EPOCHS} epochs or more", done, told))
    pooled = (
        "Each convolution's map is max-pooled to about as many numbers as pool5 has (`helpers/study/trainings.py`, "
        "PROBES). "
    )
    lines += [
        "",
        f"{pooled if layers else ''}{scaled}"
        f"All seeds from {source} share one trunk, each random one draws its own: ± is not the same luck in both. "
        "Written by `make results` from `recorded/`.",
    ]
    return "\n".join(lines) + "\n"


def _compared(title, done, told):
    """A line of `transfer`. done: the accuracies of both sides; told: the same in words."""
    gain = f"{100 * (np.mean(done[0]) - np.mean(done[1])):+.1f} points" if all(done) else ""
    return f"| {title} | {told[0]} | {len(done[0])} | {told[1]} | {len(done[1])} | {gain} |"


def classes(name):
    """Number of classes that the runs called `name` told apart, by the predictions of the one with seed 0; or None."""
    paths = [one.folder / "predictions.npz" for one in seeds(f"{name}_s0")]
    return next((len(np.load(path)["classes"]) for path in paths if path.exists()), None)


def markdown():
    """The README's results: a table in Markdown, with a line that says where its numbers come from."""
    if not records.names():
        return "Nothing is recorded yet.\n"
    columns = list(STARTS.values())
    lines = ["| test accuracy | reported | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for title, (reported, names) in ROWS.items():
        count = classes(next(iter(names.values())))
        title = title if count in (None, 100) else f"{title} ({count} classes)"
        cells = [measured(names[column]) if column in names else "" for column in columns]
        lines.append(f"| {title} | {f'{reported:.2%}' if reported else ''} | " + " | ".join(cells) + " |")
        if title == "CIFAR-100, last layer":
            trunks = over_trunks()
            cells = [_told(trunks.loc[start].dropna()) if start in plan.TRUNKS else "" for start in STARTS]
            lines.append("| the same, one seed on each of three trunks |  | " + " | ".join(cells) + " |")
        if title == "CIFAR-100, fine-tuning":
            alike = long_enough().replace({"start": plan.EACH_TRUNK})
            cells = [_alike(alike, start)[1] for start in STARTS]
            lines.append(f"| the same, each seed for {plan.EPOCHS} epochs or more |  | " + " | ".join(cells) + " |")
    made = [records.load(name).result.get("made") for name in records.names()]
    dates, devices = (sorted({one[key] for one in made if one}) for key in ("date", "device"))
    lines += [
        "",
        f"Measured by `make study` on {' to '.join(dict.fromkeys((dates[0], dates[-1])))} ({', '.join(devices)}); "
        "± is half of a 95 % interval of the mean over the seeds that finished (Student's t): all seeds of a "
        "trained trunk share it, so it is the luck of what was trained on it; each random seed draws a new one. In "
        "the row on three trunks, and in the last four columns of that with "
        f"{plan.EPOCHS} epochs, ± is over trunks instead. "
        "Columns: what the convolutions start from. A run counts at the epoch of its lowest validation loss. "
        "Fruits-360's last layers: of each draw of classes the mean of its seeds, ± over the "
        "draws; its whole nets: the first draw. The last four columns: trunks that had as many passes of a tile each, "
        "far fewer than the first, over the photographs of Caltech-101 and, the last, of Tiny ImageNet "
        "(`recorded/trunks`). `make results` writes this table from `recorded/`, `make check-recorded` checks it.",
    ]
    return "\n".join(lines) + "\n"
