"""What is kept of a training while it runs: prototxts, tables, snapshots, the best weights, the copy elsewhere."""

import contextlib
import copy
import json
import pathlib
import tempfile

import caffe

from helpers.course import write_atomically
from helpers.early_stopping import EarlyStopping
from helpers.training import activity, backup, run_folder, snapshots
from helpers.training.run_folder import Tables, provenance


class Keeper:
    """Keeps a training in its run folder, which nobody else trains in meanwhile; a context manager.

    A folder of other settings is moved aside, never overwritten.
    tables: the Tables of the epochs that are saved. means: see Means. Raises RuntimeError where another process trains
    in the folder, OSError where it cannot be written.
    """

    def __init__(self, folder, settings, recipe, means):
        self.folder, self.settings, self.recipe, self.means = folder, settings, recipe, means
        self.tables = Tables([], [], [])
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._local = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jigsaw_")))
            stack.enter_context(run_folder.locked(self.folder))
            if run_folder.settings_of(self.folder) not in (None, self.settings):
                run_folder.set_aside(self.folder)
                stack.enter_context(run_folder.locked(self.folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def nets(self, net, parameter):
        """(solver, test net that shares its weights) of a net's and a solver's prototxt, which are kept in the folder.

        The solver goes on from the newest snapshot that is whole, if there is one; see `resume`.
        """
        write_atomically(self.folder / "train.prototxt", str(net))
        write_atomically(self.folder / "solver.prototxt", str(parameter))
        write_atomically(self.folder / "settings.json", json.dumps(self.settings, indent=2))
        self._snapshot = self._newest()
        own = copy.deepcopy(parameter)
        own.snapshot_prefix = str(self._local / "part")
        (self._local / "solver.prototxt").write_text(str(own))
        solver = caffe.get_solver(str(self._local / "solver.prototxt"))
        test_net = caffe.Net(str(self.folder / "train.prototxt"), caffe.TEST)
        test_net.share_with(solver.net)
        return solver, test_net

    def resume(self, solver):
        """Bring the solver to the newest snapshot, if there is one."""
        if self._snapshot:
            self.tables = snapshots.restore(solver, self._snapshot)

    def _newest(self):
        """Path of the newest snapshot; the last call may not have got to keeping its weights as the best."""
        if snapshot := snapshots.newest(self.folder, self.settings):
            tables = snapshots.tables(snapshot)
            if self.stopping(tables).best_epoch == len(tables.history):
                snapshots.keep_best(self.folder, snapshot)
        return snapshot

    def stopping(self, tables):
        """The EarlyStopping that has seen all epochs of `tables`."""
        rule = EarlyStopping(self.recipe.patience, self.recipe.epsilon)
        for row in tables.history:
            rule.update(row["epoch"], row["validation_loss"])
        return rule

    def save(self, solver, test_net, validation, scoring_batch, row, steps, best):
        """Save an epoch: tables, snapshot, the weights where they are the best, the copy elsewhere."""
        active = {"epoch": row["epoch"]} | activity.shares(test_net, validation, scoring_batch)
        known = activity.collapses(self.tables.activity, self.recipe)
        old = self.tables
        self.tables = Tables([*old.history, row], old.iterations + steps, [*old.activity, active])
        for warning in activity.collapses(self.tables.activity, self.recipe):
            if warning not in known:
                print(f"\nWarning: {warning}")
        snapshot = snapshots.save(solver, self._local / "part", self.folder, self.tables, self.settings)
        if best:
            snapshots.keep_best(self.folder, snapshot)
        self.tables.write(self.folder)
        self._copy()
        if self.means.on_epoch:
            self.means.on_epoch(row, active)

    def _copy(self):
        if self.means.copies:
            backup.save(self.folder, self.means.copies)

    def interrupted(self):
        """After Ctrl-C: "interrupted" where an epoch was saved. Raises KeyboardInterrupt where none was."""
        if not self._newest():
            raise KeyboardInterrupt
        print("\nInterrupted; the epochs that were finished are saved. Run this cell again to go on.")
        return "interrupted"

    def finish(self, status, tested, threads):
        """Write the tables and result.json. tested: test_loss and test_accuracy of the best weights, or nothing."""
        self.tables = snapshots.tables(self._newest())
        self.tables.write(self.folder)
        stopping = self.stopping(self.tables)
        result = {
            "status": status,
            "epochs": len(self.tables.history),
            "best_epoch": stopping.best_epoch,
            "best_validation_loss": stopping.best,
            "seconds": sum(row["seconds"] for row in self.tables.history),
            "warnings": activity.collapses(self.tables.activity, self.recipe),
            **tested,
            "settings": self.settings,
            "made": provenance() | {"threads": threads},
        }
        write_atomically(self.folder / "result.json", json.dumps(result, indent=2))
        self._copy()
