"""What decides a training's time and memory and what is seen of it, and nothing of its result."""

from collections.abc import Callable
from dataclasses import dataclass

from helpers import course
from helpers.data.examples import Examples
from helpers.training import memory, parallel


@dataclass(frozen=True)
class Means:
    """By what means a training is carried out.

    progress: show a bar and, in a notebook, the curve. seconds: pause after the epoch after which another one would
    not fit into this time; None: no limit. scoring_batch: batch size for validation; None: the recipe's.
    on_epoch: called with the history row and the activity row (both dicts) once an epoch is saved.
    processes: how many share each batch: a number, or "auto" (also None), see parallel.count. The result is that of
    one process, to rounding. backup: a folder, such as one on Drive, that gets a copy of the run folder after each
    epoch and that a training whose run folder is lost comes back from; None: course.backup_folder.
    """

    progress: bool = True
    seconds: float | None = None
    scoring_batch: int | None = None
    on_epoch: Callable | None = None
    processes: int | str | None = None
    backup: str | None = None

    @property
    def copies(self):
        """The folder of copies, None where there is none."""
        return self.backup or course.backup_folder()

    def count(self, net, recipe, training, mode):
        """How many processes train `net`. Raises ValueError and MemoryError where that cannot be."""
        types = {layer.type for layer in net.layer}
        obstacle = None
        if mode == "gpu":
            obstacle = "a GPU trains in one process"
        elif "BatchNorm" in types:
            obstacle = "BatchNorm needs the statistics of the whole batch"
        elif not isinstance(training, Examples):
            obstacle = "a stream of puzzles has its own workers"
        count = parallel.count(self.processes, recipe.batch_size, "Convolution" in types, obstacle)
        if mode == "cpu":
            memory.check(net, recipe, count)
        return count
