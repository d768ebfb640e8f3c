"""The report's table of hyper-parameters and results, row by row."""

import pytest

from helpers import recipes

REPORT = {  # base_lr, policy, gamma, weight decay, batch, max epochs, ran, patience, epsilon, test accuracy
    "cifar100_last_layer": (0.01, "exp", 0.9995, 0.001, 128, 200, 64, 5, 1e-4, 0.3766),
    "cifar100_fine_tune": (0.0005, "step", 0.2, 0.0005, 128, 50, 15, 1, 1e-4, 0.527),
    "fruits360_last_layer": (0.01, "exp", 0.9995, 0.001, 128, 200, 98, 5, 1e-4, 0.91),
    "fruits360_fine_tune": (0.0003, "step", 0.2, 0.0005, 128, 50, 15, 1, 1e-4, 0.9691),
}


@pytest.mark.parametrize("recipe", recipes.REPORT, ids=lambda recipe: recipe.name)
def test_the_report_is_typed_correctly(recipe):
    assert REPORT[recipe.name] == (
        recipe.base_lr,
        recipe.lr_policy,
        recipe.gamma,
        recipe.weight_decay,
        recipe.batch_size,
        recipe.max_epochs,
        recipe.reported_epochs,
        recipe.patience,
        recipe.epsilon,
        recipe.reported_test_accuracy,
    )


def test_fruits_steps_are_longer_and_demonstrations_report_nothing():
    assert recipes.FRUITS360_FINE_TUNE.stepsize_epochs > recipes.CIFAR100_FINE_TUNE.stepsize_epochs
    for recipe in (recipes.PHOTOS_PRETEXT, recipes.PHOTOS_LAST_LAYER, recipes.PHOTOS_FINE_TUNE):
        assert recipe.reported_epochs is None and recipe.reported_test_accuracy is None
