"""What decides a training's time and memory and what is seen of it, and nothing of its result."""

from collections.abc import Callable
from dataclasses import dataclass

from helpers import course
from helpers.training import device, memory


@dataclass(frozen=True)
class Means:
    """By what means a training is carried out.

    progress: show a bar and, in a notebook, the curve. seconds: pause after the epoch after which another one would
    not fit into this time; None: no limit. scoring_batch: batch size for validation; None: the recipe's.
    on_epoch: called with the history row and the activity row (both dicts) once an epoch is saved.
    threads: how many work on each batch, see device.threads: results are the same to the bit. backup: a folder, such as
    one on Drive, that gets a copy of the run folder after each epoch and that a training whose run folder is lost comes
    back from; None: course.backup_folder.
    """

    progress: bool = True
    seconds: float | None = None
    scoring_batch: int | None = None
    on_epoch: Callable | None = None
    threads: int | str | None = None
    backup: str | None = None

    @property
    def copies(self):
        """The folder of copies, None where there is none."""
        return self.backup or course.backup_folder()

    def check(self, net, recipe, mode):
        """How many threads will work. Raises ValueError for no such number, MemoryError where `net` does not fit."""
        threads = device.threads(self.threads)
        if mode == "cpu":
            memory.check(net, recipe, threads)
        return threads
