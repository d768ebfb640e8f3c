"""The explorer of losses: curves of one or several trainings, and the early-stopping rule played again."""

from dataclasses import dataclass

from helpers import early_stopping
from helpers.explorers.controls import Explorer, choice, slider, stops, tick
from helpers.plots.curves import curves
from helpers.plots.style import hues

EPSILONS = (0.0, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1)  # nats
NONE, ALL = "none", "all"


def losses(runs):
    """The curves of one or several trainings, and the early-stopping rule played again with other settings.

    runs: a solver.Run or records.Record, or {label: such}.
    """
    runs = runs if isinstance(runs, dict) else {"this training": runs}
    first = next(iter(runs))
    recipe = runs[first].result["settings"]["recipe"]
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

    adjust("by")
    panels = LossPanels(runs)
    travels = {"patience": sorted({*range(8), recipe["patience"]})}
    return Explorer(controls, [panels.curves, panels.words], adjust, travels=travels)


@dataclass(frozen=True, eq=False)
class LossPanels:
    """The panels of `losses`. runs: {label: Run or Record}."""

    runs: dict

    def curves(self, shown, quantity, by, smoothing, log, rates, rule, patience, epsilon):
        chosen = list(self.runs) if shown == ALL else [shown]
        drawn = {label: self._curves(label, quantity, by, smoothing) for label in chosen}
        ylabel = "mean cross-entropy loss (nats)" if quantity == "loss" else "accuracy (%)"
        played = self._rule(rule, by, patience, epsilon) if rule in chosen and quantity == "loss" else None
        figure = curves(drawn, by, ylabel, log=log, rule=played, rates=rates, room=len(self.runs) + 4)
        return figure, f"{quantity.capitalize()} of {', '.join(chosen)} by {by}: training solid, validation dashed."

    def words(self, rule, patience, epsilon):
        if rule == NONE:
            return ""
        history = self.runs[rule].history
        played, waited = early_stopping.replay(history["validation_loss"], patience, epsilon)
        end = (
            f"stops after epoch {len(waited)}"
            if waited[-1] > patience
            else f"is still waiting when the record ends, after epoch {len(waited)}"
        )
        return (
            f"With patience {patience} and epsilon {epsilon:g} the rule on <b>{rule}</b> {end} and keeps epoch "
            f"<b>{played.best_epoch}</b>, validation loss {played.best:.4f}. The training itself kept epoch "
            f"{self.runs[rule].result['best_epoch']} of {len(history)}."
        )

    def _curves(self, label, quantity, by, smoothing):
        run, scale = self.runs[label], 100 if quantity == "accuracy" else 1
        x, training = run.history[by], run.history[f"training_{quantity}"]
        iterations = getattr(run, "iterations", None)  # a record has none
        if by == "iteration" and quantity == "loss" and iterations is not None:
            training = iterations["loss"].rolling(smoothing, min_periods=1).mean()
        return {
            "training": (x if len(training) == len(x) else iterations["iteration"], scale * training),
            "validation": (x, scale * run.history[f"validation_{quantity}"]),
            "learning rate": (x, run.history["learning_rate"]),
            "colour": hues(self.runs)[label],
        }

    def _rule(self, label, by, patience, epsilon):
        """The rule's marks at x along epochs or iterations, as plots.curves draws them."""
        history = self.runs[label].history
        rule, waited = early_stopping.replay(history["validation_loss"], patience, epsilon)
        x = history[by].to_list()
        waits = [(x[i - 1], x[i], min(1, count / (patience + 1))) for i, count in enumerate(waited) if count and i]
        stop = x[len(waited) - 1] if waited[-1] > patience else None
        return x[rule.best_epoch - 1], rule.best, epsilon, waits, stop
