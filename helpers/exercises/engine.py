"""What runs an exercise: a student's function on random inputs, held against properties rather than an answer.

A module per notebook registers its exercises here by `exercise`; a notebook calls check, use, solution and progress.
"""

import contextlib
import dataclasses
import dis
import inspect
import json
import reprlib
import signal
import textwrap
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import pandas as pd

from helpers import course

LIMIT = 5  # seconds that a check may compute, whatever loops it is given
WAIT = 12  # times as long may pass on the clock, on a machine whose cores have other work or in an answer that sleeps
WIDTH = 80  # characters of a message, behind its title
PATIENCE = 2  # failures before the first hint; each further failure gives the next
EXERCISES = {}  # number: Exercise, in the order of the notebooks
_PASSED = {}  # number: the function that passed in this kernel


class Unmet(Exception):
    """A property that an answer does not have. wanted: the property. found: what was seen instead."""

    def __init__(self, wanted, found=""):
        super().__init__(wanted)
        self.wanted, self.found = wanted, found


class Late(BaseException):
    """The time limit: no Exception, so that a student's own `except Exception` does not swallow it."""


@dataclasses.dataclass(frozen=True)
class Exercise:
    """number: "03.2". reference: the course's own version. examine: called with an Attempt, raises Unmet.

    hints: from the gentlest to the plainest. returns: whether the function is to return anything.
    """

    number: str
    title: str
    reference: Callable
    examine: Callable
    hints: tuple[str, ...]
    returns: bool = True


def exercise(number, title, reference, *hints, returns=True):
    """Register the decorated function as the check of an exercise."""

    def register(examine):
        EXERCISES[number] = Exercise(number, title, reference, examine, hints, returns)
        return examine

    return register


class Attempt:
    """A student's function on trial: called like itself, it remembers what went in and what came out."""

    def __init__(self, function, exercise):
        self.function, self.exercise, self.given, self.answer = function, exercise, None, None

    def __call__(self, *inputs):
        """The student's answer to these inputs. Raises Unmet for an exception in their code, and for no answer."""
        names = inspect.signature(self.exercise.reference).parameters
        self.given = ", ".join(f"{name} = {describe(value)}" for name, value in zip(names, inputs))
        self.answer = None
        answer = self.run(self.function, *inputs)
        self.answer = describe(answer)
        if answer is None and self.exercise.returns:
            raise Unmet("it returns its answer", "it returned None; is a `return` missing?")
        return answer

    def run(self, function, *inputs):
        """What a function of theirs returns. Raises Unmet, short and with the line, for an exception."""
        try:
            return function(*inputs)
        except (Exception, SystemExit) as error:
            raise Unmet("it runs without an error", self._where(error)) from error

    def must(self, holds, wanted, found=""):
        """Raise Unmet, naming the property `wanted`, where it does not hold."""
        if not holds:
            raise Unmet(wanted, found)

    def pair(self, answer, wanted):
        """Both things of an answer that has two. Raises Unmet for another number of things."""
        self.must(np.iterable(answer) and len(answer) == 2, wanted)
        return answer

    def array(self, answer, shape, wanted):
        """`answer` as an array of that shape. Raises Unmet where it has another, or is none of numbers."""
        try:
            array = np.asarray(answer)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        self.must(array.shape == shape and array.dtype.kind in "biuf", wanted, f"{describe(answer)}, not {shape}")
        return array

    def refuses(self, wanted, *inputs):
        """Raise Unmet where these inputs are not refused by a KeyError or a ValueError."""
        try:
            self(*inputs)
        except Unmet as unmet:
            if isinstance(unmet.__cause__, KeyError | ValueError):
                return
            if unmet.__cause__ is not None:
                raise
        raise Unmet(wanted, "no exception was raised")

    def _where(self, error):
        """The exception, and the last line of the student's own that led to it."""
        own = self.function.__code__.co_filename if hasattr(self.function, "__code__") else None
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
        place = f" in line {lines[-1].lineno}, `{lines[-1].line}`" if lines else ""
        return f"{type(error).__name__}{place}: {error}"


def check(number, function):
    """Run a student's function on random inputs and print whether it has the properties asked for, or which failed.

    After PATIENCE failures hints are given, one more with each. A wrong answer raises nothing, so that a notebook goes
    on. Raises ValueError for a number that no exercise has, TypeError for what is no function.
    """
    chosen = find(number)
    if not callable(function):
        raise TypeError(
            f"check needs the function itself, without calling it: exercises.check({number!r}, "
            f"{chosen.reference.__name__}), not {describe(function)}"
        )
    record, heading = _record(number), f"{number} {chosen.title}"
    if empty(function):
        print(f"· {heading}: not written yet. Until it is, the course goes on with its own version.")
        return
    attempt = Attempt(function, chosen)
    unmet = examine(attempt)
    if unmet is None:
        _PASSED[number] = function
        _keep(number, record | {"passed": True})
        print(f"✓ {heading}: passes. Compare it with the course's own version:\n")
        print(inspect.getsource(chosen.reference))
        return
    record["failures"] += 1
    _keep(number, record)
    print(f"✗ {heading}: not yet.")
    told = {"should hold": unmet.wanted, "found": unmet.found, "went in": attempt.given, "came out": attempt.answer}
    for title, words in told.items():
        if words:
            print(_wrapped(f"  {title + ':':12} ", words))
    hint = record["failures"] - PATIENCE
    if hint >= 0:
        hint = min(hint, len(chosen.hints) - 1)
        print(_wrapped(f"\n  Hint {hint + 1} of {len(chosen.hints)}: ", chosen.hints[hint]))
        if hint == len(chosen.hints) - 1:
            print(f"  That was the last one; exercises.solution({number!r}) shows the course's own version.")


def examine(attempt):
    """The Unmet of an Attempt, None where it passes; an endless loop is ended after LIMIT seconds of computing."""
    try:
        with limited(LIMIT):
            attempt.exercise.examine(attempt)
    except Unmet as unmet:
        return unmet
    except Late:
        return Unmet(
            f"the check computes for at most {LIMIT} seconds",
            "it was still running then, and was interrupted. Does a loop never end, or go over single pixels?",
        )
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # an answer of a form nobody thought of
        return Unmet("the answer has the form that the docstring asks for", f"{type(error).__name__}: {error}")
    return None


def use(number):
    """The function to go on with: the student's where it has passed in this kernel, else the course's own."""
    return _PASSED.get(number, find(number).reference)


def solution(number):
    """Print the course's own version of an exercise."""
    chosen = find(number)
    _keep(number, _record(number) | {"seen": True})
    print(f"{number} {chosen.title}: one way to write it\n")
    print(inspect.getsource(chosen.reference))


def progress(notebook=""):
    """A table of exercises: what has passed, how often the others were tried, which solutions were looked at.

    notebook: "03", say, for its exercises alone.
    """
    rows = {}
    for number, one in EXERCISES.items():
        if not number.startswith(notebook):
            continue
        record = _record(number)
        state = "passed" if record["passed"] else "tried" if record["failures"] else "open"
        seen = "yes" if record["seen"] else ""
        rows[number] = {"exercise": one.title, "state": state, "failures": record["failures"], "solution seen": seen}
    return pd.DataFrame(rows).T


def find(number):
    """The Exercise of that number. Raises ValueError where there is none."""
    if number not in EXERCISES:
        raise ValueError(f"there is no exercise {number!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[number]


def empty(function):
    """Whether a function does nothing but return None, as the notebooks' stubs do."""
    if not hasattr(function, "__code__"):
        return False
    steps = list(dis.get_instructions(function))
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return {step.opname for step in steps} <= idle and all(
        step.argval is None for step in steps if "CONST" in step.opname
    )


@contextlib.contextmanager
def limited(seconds):
    """Raise Late inside after so many seconds of computing in this thread, or WAIT times as many on the clock.

    Only a main thread can be interrupted; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    computed, clock = time.thread_time() + seconds, time.monotonic() + WAIT * seconds

    def ring(*_):
        if time.thread_time() >= computed or time.monotonic() >= clock:
            raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)  # again and again: a bare `except:` may swallow the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def describe(value):
    """A value in a few words: small arrays with their numbers, large ones by dtype and shape."""
    if isinstance(value, np.ndarray):
        if value.size <= 12:
            return f"{value.dtype} {np.array2string(value, precision=4, separator=', ')}".replace("\n", "")
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, np.generic):
        return str(value)
    if isinstance(value, list | tuple) and len(value) <= 12:
        left, right = "[]" if isinstance(value, list) else "()"
        return left + ", ".join(map(describe, value)) + right
    if isinstance(value, dict) and len(value) <= 8:
        return "{" + ", ".join(f"{key!r}: {describe(item)}" for key, item in value.items()) + "}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return reprlib.repr(value) if isinstance(value, list | tuple | dict | set | str | int | float) else _kind(value)


def _kind(value):
    return f"<{type(value).__name__}>" if value is not None else "None"


def _wrapped(title, words):
    """A title and words behind it, in lines short enough for a notebook, those after the first below the words."""
    lines = [line for part in words.splitlines() for line in textwrap.wrap(part, WIDTH) or [""]]
    return title + ("\n" + " " * len(title.strip("\n"))).join(lines)


def _places():
    """The folders of what was passed: among the runs and, where trainings are copied elsewhere, there."""
    copies = course.backup_folder()
    return course.run_folder("exercises"), *([copies / "exercises"] if copies else [])


def _record(number):
    """What is known of an exercise; each has a file of its own, so that two notebooks never write the same one."""
    kept = {}
    for place in _places():
        with contextlib.suppress(OSError, ValueError):  # not there, or a Drive that is gone
            kept = json.loads((place / f"{number}.json").read_text())
            break
    return {"failures": 0, "passed": False, "seen": False} | kept


def _keep(number, record):
    own, *copies = _places()
    course.write_atomically(own / f"{number}.json", json.dumps(record))
    for place in copies:
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            course.write_atomically(place / f"{number}.json", json.dumps(record))
