"""What runs an exercise: a student's function on random inputs, held against properties rather than an answer.

A module per notebook registers its exercises here by `exercise`; a notebook calls check, use, solution and progress.
"""

import contextlib
import dataclasses
import dis
import inspect
import json
import random
import reprlib
import signal
import textwrap
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import pandas as pd
from IPython import get_ipython

from helpers import course

LIMIT = 5  # seconds that a check may compute, whatever loops it is given
WAIT = 12  # times as long may pass on the clock, on a machine whose cores have other work or in an answer that sleeps
WIDTH = 80  # characters of a message, behind its title
PATIENCE = 2  # the failure of one property from which on its hint is given; one more, and the solution is named
EXERCISES = {}  # number: Exercise, in the order of the notebooks
_PASSED = {}  # number: the function that passed in this kernel
_RECORDS = {}  # number: what is known of an exercise, where no file could be written


class CheckFailed(Exception):
    """A property that an answer does not have.

    property: what should hold. message: what was found instead. hint: what helps with just this property.
    """

    def __init__(self, property, message="", hint=""):
        super().__init__(property)
        self.property, self.message, self.hint = property, message, hint


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a check. property, message: what failed, and how; empty where it passed. text: what is printed."""

    exercise: str
    passed: bool
    property: str = ""
    message: str = ""
    text: str = dataclasses.field(default="", compare=False)
    cell: int | None = dataclasses.field(default=None, compare=False)

    def __str__(self):
        return self.text

    __repr__ = __str__

    def _ipython_display_(self):
        """The text; nothing at the end of the very cell in which `check` has printed it."""
        if self.cell is None or self.cell != _cell():
            print(self.text)


def _cell():
    """The number of the notebook's cell that runs, None outside of a notebook."""
    shell = get_ipython()
    return shell.execution_count if shell else None


class Late(BaseException):
    """The time limit: no Exception, so that a student's own `except Exception` does not swallow it."""


@dataclasses.dataclass(frozen=True)
class Exercise:
    """number: "03.2". reference: the course's own version. examine: called with an Attempt, raises CheckFailed.

    returns: whether the function has to return anything. writes: the arguments that it is meant to change.
    """

    number: str
    title: str
    reference: Callable
    examine: Callable
    returns: bool = True
    writes: tuple[str, ...] = ()


def exercise(number, title, reference, returns=True, writes=()):
    """Register the decorated function as the check of an exercise."""

    def register(examine):
        EXERCISES[number] = Exercise(number, title, reference, examine, returns, writes)
        return examine

    return register


class Attempt:
    """A student's function on trial: called like itself, it remembers what went in and what came out."""

    def __init__(self, function, exercise):
        self.function, self.exercise, self.given, self.answer = function, exercise, None, None

    def __call__(self, *inputs):
        """The student's answer to these inputs.

        Raises CheckFailed for an exception in their code, for no answer, for an input that was changed, and for random
        numbers that are not from the rng given.
        """
        given = dict(zip(inspect.signature(self.exercise.reference).parameters, inputs))
        self.given = ", ".join(f"{name} = {describe(value)}" for name, value in given.items())
        self.answer = None
        before = {name: snapshot(value) for name, value in given.items() if name not in self.exercise.writes}
        dice = _global_dice()
        answer = self.run(self.function, *inputs)
        self.answer = describe(answer)
        self.must(
            answer is not None or not self.exercise.returns,
            "it returns its answer",
            "it returned None; is a `return` missing?",
            "The last line of the function is `return` and what the docstring asks for.",
        )
        changed = [name for name, value in before.items() if snapshot(given[name]) != value]
        self.must(
            not changed,
            "the inputs stay as they were",
            f"{' and '.join(changed)} changed",
            "a -= b, a[...] = b, a.sort(), a.pop(), a.update() change the object that your caller still uses; "
            "a - b, sorted(a), a | b and a.copy() make a new one.",
        )
        self.must(
            "rng" not in given or _global_dice() == dice,
            "random numbers come from the rng given",
            "np.random or random was used, which all of the program shares",
            "rng.integers, rng.permutation, rng.choice: whoever gives the same rng gets the same answer again.",
        )
        return answer

    def run(self, function, *inputs):
        """What a function of theirs returns. Raises CheckFailed, short and with the line, for an exception."""
        try:
            return function(*inputs)
        except (Exception, SystemExit) as error:
            hint = "Print the shapes and types of what stands in that line, or try the line in a cell of its own."
            raise CheckFailed("it runs without an error", self._where(error), hint) from error

    def must(self, holds, property, message="", hint=""):
        """Raise CheckFailed, naming the property, where it does not hold. hint: what helps with this property."""
        if not holds:
            raise CheckFailed(property, message, hint)

    def pair(self, answer, property):
        """Both things of an answer that has two. Raises CheckFailed for another number of things."""
        holds = isinstance(answer, list | tuple) or isinstance(answer, np.ndarray) and answer.ndim
        self.must(
            holds and len(answer) == 2, property, describe(answer), "`return a, b` returns two things, in this order."
        )
        return answer

    def array(self, answer, shape, property):
        """`answer` as an array of that shape. Raises CheckFailed where it has another, or is none of numbers."""
        try:
            array = np.asarray(answer)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        holds = array.shape == shape and array.dtype.kind in "biuf"
        hint = f"np.shape(answer) has to be {shape}: which axis is missing, too much, or at another place?"
        self.must(holds, property, f"{describe(answer)}, not {shape}", hint)
        return array

    def refuses(self, error, property, hint, *inputs):
        """Raise CheckFailed where these inputs are not refused by an exception of that class."""
        try:
            self(*inputs)
        except CheckFailed as failed:
            if isinstance(failed.__cause__, error):
                return
            if failed.__cause__ is None:
                raise
            raise CheckFailed(property, f"{failed.message}, not a {error.__name__}", hint) from failed.__cause__
        raise CheckFailed(property, "no exception was raised", hint)

    def repeats(self, *inputs):
        """Raise CheckFailed where two generators of one seed, the last argument, do not give the same answer."""
        one, other = (snapshot(self(*inputs, np.random.default_rng(5))) for _ in range(2))
        hint = "Draw everything from rng: a generator of your own, or the order of a set, differs from call to call."
        self.must(one == other, "the same rng gives the same answer", "two calls gave two answers", hint)

    def _where(self, error):
        """The exception, and the last line of the student's own that led to it."""
        own = self.function.__code__.co_filename if hasattr(self.function, "__code__") else None
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
        place = f" in line {lines[-1].lineno}, `{lines[-1].line}`" if lines else ""
        return f"{type(error).__name__}{place}: {error}"


def check(number, function):
    """Run a student's function on random inputs and print whether it has the properties asked for, or which failed.

    From the PATIENCE-th failure of a property on, that property's hint is given. A wrong answer raises nothing, so that
    a notebook goes on.

    Returns
    -------
    Result
        exercise, passed, property and message; its text is what was printed.

    Raises
    ------
    ValueError
        For a number that no exercise has.
    TypeError
        For what is no function.
    """
    chosen = find(number)
    if not callable(function):
        raise TypeError(
            f"check needs the function itself, without calling it: exercises.check({number!r}, "
            f"{chosen.reference.__name__}), not {describe(function)}"
        )
    if empty(function):
        text = f"· {number} {chosen.title}: not written yet. Until it is, the course goes on with its own version."
        return _told(Result(number, False, "it is written", "the function is empty", text))
    attempt, record = Attempt(function, chosen), _record(number)
    failed = examine(attempt)
    if failed is None:
        _PASSED[number] = function
        _keep(number, record | {"passed": True})
        text = f"✓ {number} {chosen.title}: passes. Compare it with the course's own version:\n\n"
        return _told(Result(number, True, text=text + inspect.getsource(chosen.reference)))
    times = record["properties"].get(failed.property, 0) + 1
    record["properties"] = record["properties"] | {failed.property: times}
    _keep(number, record | {"failures": record["failures"] + 1})
    told = {
        "should hold": failed.property, "found": failed.message, "went in": attempt.given, "came out": attempt.answer,
        "hint": failed.hint if times >= PATIENCE else "",
    }  # fmt: skip
    lines = [_wrapped(f"  {title + ':':12} ", words) for title, words in told.items() if words]
    if times > PATIENCE:
        lines.append(f"  exercises.solution({number!r}) shows the course's own version.")
    text = "\n".join([f"✗ {number} {chosen.title}: not yet.", *lines])
    return _told(Result(number, False, failed.property, failed.message, text))


def _told(result):
    print(result.text)
    return dataclasses.replace(result, cell=_cell())


def examine(attempt):
    """The CheckFailed of an Attempt, None where it passes; what never ends is ended after LIMIT seconds."""
    form = "the answer has the form that the docstring asks for"
    try:
        with limited(LIMIT):
            attempt.exercise.examine(attempt)
    except CheckFailed as failed:
        return failed
    except Late:
        return CheckFailed(
            f"the check computes for at most {LIMIT} seconds",
            "it was still running then, and was interrupted. Does a loop never end, or go over single pixels?",
            "What changes in each turn of the loop, and what ends it? NumPy's operations on whole arrays are quick.",
        )
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # an answer of a form nobody thought of
        return CheckFailed(form, f"{type(error).__name__}: {error}", "Read what `Returns` says: type, order, shape.")
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


def snapshot(value):
    """What a value holds, to be compared with a later look at it; None for what cannot be looked at."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple | np.ndarray):
        return [snapshot(item) for item in value]
    if isinstance(value, dict):
        return {name: snapshot(item) for name, item in value.items()}
    if hasattr(value, "SerializeToString"):  # a prototxt message
        return value.SerializeToString(deterministic=True)
    return repr(value) if isinstance(value, str | int | float | np.generic) else None  # NaN is not equal to itself


def _global_dice():
    """The states of the generators that all of a program shares."""
    kind, key, *rest = np.random.get_state()
    return random.getstate(), kind, key.tobytes(), rest


def _places():
    """The folders of what was passed: among the runs and, where trainings are copied elsewhere, there."""
    own, copies = course.folder("JIGSAW_RUNS"), course.backup_folder()
    return own / "exercises", *([copies / "exercises"] if copies else [])


def _record(number):
    """What is known of an exercise; each has a file of its own, so that two notebooks never write the same one."""
    kept = _RECORDS.get(number, {})
    for place in () if kept else _places():
        with contextlib.suppress(OSError, ValueError):  # not there, or a Drive that is gone
            kept = json.loads((place / f"{number}.json").read_text())
            break
    return {"failures": 0, "passed": False, "seen": False, "properties": {}} | kept


def _keep(number, record):
    """Write what is known of an exercise; where that cannot be, as in a shared folder, this kernel remembers it."""
    told, (own, *copies) = number in _RECORDS, _places()
    _RECORDS[number] = record
    for place in (own, *copies):
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            course.write_atomically(place / f"{number}.json", json.dumps(record))
            if place == own:
                del _RECORDS[number]
    if number in _RECORDS and not told:
        print(f"  ({own} cannot be written to: this kernel remembers. JIGSAW_RUNS names a folder of yours.)")
