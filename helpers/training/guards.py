"""What ends a training early, in words: a stop button, a machine that wants its time back, a loss that is no number."""

import contextlib
import signal
import threading

import numpy as np


@contextlib.contextmanager
def interruptible():
    """Inside, SIGTERM (a machine that wants its time back) is Ctrl-C. Only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_finite(which, loss, iteration, recipe):
    """Raise FloatingPointError, with the way out, for a loss that is NaN or infinite."""
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the {which} loss is {loss} at iteration {iteration}: lower base_lr ({recipe.base_lr}) or look for "
            "NaN in the inputs, and train again; the epochs before are saved"
        )
