"""The explorer of learning rates: one policy on data sets of different sizes."""

from dataclasses import replace

import numpy as np
from ipywidgets import FloatLogSlider, Layout

from helpers import plots, recipes
from helpers.explorers.controls import WORDS, Explorer, choice, slider, stops
from helpers.training import schedule

GAMMAS = [round(0.998 + 0.0001 * step, 4) for step in range(21)]  # per iteration
FACTORS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]  # per step


def learning_rates(batches, presets=recipes.REPORT):
    """Design a learning-rate policy, and see what it does to data sets of different sizes.

    batches: {data set: iterations per epoch}; the first two are compared. presets: recipes to start from.
    """
    controls = {
        "preset": choice("start from", [(recipe.title, recipe) for recipe in presets]),
        "policy": choice("lr_policy", ["exp", "step"]),
        "base_lr": FloatLogSlider(
            0.01,
            min=-5,
            max=-1,
            step=0.05,
            description="base_lr",
            readout_format=".2e",
            style=WORDS,
            layout=Layout(width="21em"),
        ),
        "gamma": stops("gamma per iteration", GAMMAS, presets[0].gamma),
        "factor": stops("gamma per step", FACTORS, 0.2),
        "stepsize": slider("epochs per step", 5, 1, 20),
        "epochs": slider("epochs shown", 15, 1, 100),
    }

    def adjust(name):
        recipe = controls["preset"].value
        if name == "preset":
            controls["policy"].value, controls["base_lr"].value = recipe.lr_policy, recipe.base_lr
            controls["gamma" if recipe.lr_policy == "exp" else "factor"].value = recipe.gamma
            controls["stepsize"].value = recipe.stepsize_epochs or controls["stepsize"].value
        exponential = controls["policy"].value == "exp"
        controls["gamma"].disabled = not exponential
        controls["factor"].disabled = controls["stepsize"].disabled = exponential

    def designed(policy, base_lr, gamma, factor, stepsize):
        chosen = gamma if policy == "exp" else factor
        return replace(presets[0], lr_policy=policy, base_lr=base_lr, gamma=chosen, stepsize_epochs=stepsize)

    def rates(policy, base_lr, gamma, factor, stepsize, epochs):
        recipe, along = designed(policy, base_lr, gamma, factor, stepsize), np.linspace(0, epochs, 400, endpoint=False)
        shown = {
            f"{name}: {count} batches per epoch": (
                along,
                schedule.learning_rates(recipe, (along * count).astype(int), count),
            )
            for name, count in batches.items()
        }
        figure = plots.learning_rates(shown, xlabel="epoch", shade=len(batches) > 1)
        return figure, f"Learning rate over {epochs} epochs, log scale, policy {policy}, one curve per data set."

    def words(policy, gamma, factor, stepsize):
        if policy == "step":
            return (
                f"Every {stepsize} epochs the rate is multiplied by {factor:g}. Caffe counts the stepsize in "
                "iterations; each data set needs its own: "
                + ", ".join(f"{name} {stepsize * count:,}" for name, count in batches.items())
                + ". Then the curves lie on one another."
            )
        (first, many), (second, few) = list(batches.items())[:2]
        return (
            f"In one epoch the rate shrinks to <b>{gamma**many:.3f}</b> of itself on {first} and to "
            f"<b>{gamma**few:.3f}</b> on {second}: {many / few:.1f} times slower, because Caffe counts batches. "
            f"To fall alike, {second} would need gamma <b>{gamma ** (many / few):.4f}</b>."
        )

    adjust("preset")
    caption = f"The learning rate that one policy gives, epoch by epoch, on {' and on '.join(batches)}."
    return Explorer(controls, [rates, words], caption, adjust, travels={"gamma": GAMMAS})
