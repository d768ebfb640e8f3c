"""The explorer of losses: curves of one or several trainings, and the early-stopping rule played again."""

from helpers import early_stopping
from helpers.explorers.controls import Explorer, choice, slider, stops, tick
from helpers.plots.curves import curves as draw
from helpers.plots.style import hues

EPSILONS = (0.0, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1)  # nats
NONE, ALL = "none", "all"


def losses(runs, starts=None):
    """The curves of one or several trainings, and the early-stopping rule played again with other settings.

    runs: a solver.Run or records.Record, or {label: such}. starts: {label: start}, see style.hues.
    """
    runs = runs if isinstance(runs, dict) else {"this training": runs}
    first = next(iter(runs))
    recipe = runs[first].result["settings"]["recipe"]
    colours = hues(runs, starts)
    several = [ALL] if len(runs) > 1 else []
    controls = {
        "shown": choice("training", [*several, *runs]),
        "quantity": choice("curve", ["loss", "accuracy"]),
        "by": choice("along", [("epochs", "epoch"), ("iterations", "iteration")]),
        "smoothing": slider("mean of the last iterations", 1, 1, 50),
        "log": tick("log scale"),
        "rates": tick("learning rate"),
        "rule": choice("stopping rule on", [*runs, NONE]),
        "patience": slider("patience (epochs)", recipe["patience"], 0, 20),
        "epsilon": stops("epsilon (nats)", sorted({*EPSILONS, recipe["epsilon"]}), recipe["epsilon"]),
    }

    def adjust(name):
        controls["smoothing"].disabled = controls["by"].value == "epoch" or controls["quantity"].value == "accuracy"

    def curves(shown, quantity, by, smoothing, log, rates, rule, patience, epsilon):
        chosen = list(runs) if shown == ALL else [shown]
        lines = {label: _lines(runs[label], quantity, by, smoothing) | {"colour": colours[label]} for label in chosen}
        ylabel = "mean cross-entropy loss (nats)" if quantity == "loss" else "accuracy (%)"
        played = rule in chosen and quantity == "loss"
        marks = _marks(runs[rule].history, by, patience, epsilon) if played else None
        figure = draw(lines, by, ylabel, log=log, rule=marks, rates=rates, room=len(runs) + 4)
        return figure, f"{quantity.capitalize()} of {', '.join(chosen)} by {by}: training solid, validation dashed."

    def words(rule, patience, epsilon):
        if rule == NONE:
            return ""
        history = runs[rule].history
        played, waited = early_stopping.replay(history["validation_loss"], patience, epsilon)
        end = (
            f"stops after epoch {len(waited)}"
            if waited[-1] > patience
            else f"is still waiting when the record ends, after epoch {len(waited)}"
        )
        return (
            f"With patience {patience} and epsilon {epsilon:g} the rule on <b>{rule}</b> {end} and keeps epoch "
            f"<b>{played.best_epoch}</b>, validation loss {played.best:.4f}. The training itself kept epoch "
            f"{runs[rule].result['best_epoch']} of {len(history)}."
        )

    adjust("by")
    travels = {"patience": sorted({*range(6), recipe["patience"]})} | ({"log": [False, True]} if several else {})
    caption = (
        f"Loss per epoch of {' and '.join(runs)}, and where the early-stopping rule ends it with another patience."
    )
    return Explorer(controls, [curves, words], caption, adjust, travels=travels)


def _lines(run, quantity, by, smoothing):
    """A Run's or Record's curves along epochs or iterations, as plots.curves draws them."""
    scale = 100 if quantity == "accuracy" else 1
    x, training = run.history[by], run.history[f"training_{quantity}"]
    iterations = getattr(run, "iterations", None)  # a record has none
    if by == "iteration" and quantity == "loss" and iterations is not None:
        training = iterations["loss"].rolling(smoothing, min_periods=1).mean()
    return {
        "training": (x if len(training) == len(x) else iterations["iteration"], scale * training),
        "validation": (x, scale * run.history[f"validation_{quantity}"]),
        "learning rate": (x, run.history["learning_rate"]),
    }


def _marks(history, by, patience, epsilon):
    """The rule's marks at x along epochs or iterations, as plots.curves draws them."""
    rule, waited = early_stopping.replay(history["validation_loss"], patience, epsilon)
    x = history[by].to_list()
    waits = [(x[i - 1], x[i], min(1, count / (patience + 1))) for i, count in enumerate(waited) if count and i]
    stop = x[len(waited) - 1] if waited[-1] > patience else None
    return x[rule.best_epoch - 1], rule.best, epsilon, waits, stop
