"""The report's stopping rule: no improvement by more than epsilon for more than patience epochs."""

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Watch the mean validation loss of each epoch.

    patience: epochs without improvement that are borne; the next one stops the training.
    epsilon: an epoch improves when its loss is below the best so far by more than this (same unit as the loss, nats).
    best, best_epoch: the lowest loss that counted as an improvement, and its epoch (0 before the first).
    """

    patience: int
    epsilon: float
    best: float = float("inf")
    best_epoch: int = 0
    waited: int = 0

    def update(self, epoch, validation_loss):
        """Take in one epoch's loss; True when training should stop. NaN never improves."""
        if validation_loss < self.best - self.epsilon:
            self.best, self.best_epoch, self.waited = validation_loss, epoch, 0
        else:
            self.waited += 1
        return self.waited > self.patience


def replay(validation_losses, patience, epsilon):
    """The rule on losses that are known already, epoch 1 first: (rule, waited).

    rule: the EarlyStopping as it ended, with the best epoch. waited: epochs without improvement after each epoch, up
    to the one that stops the training, if one does: then waited[-1] is patience + 1.
    """
    rule, waited = EarlyStopping(patience, epsilon), []
    for epoch, loss in enumerate(validation_losses, start=1):
        stop = rule.update(epoch, loss)
        waited.append(rule.waited)
        if stop:
            break
    return rule, waited
