"""Exercises: right answers pass, wrong ones are caught by their property, no loop is endless, progress is kept."""

import inspect
import re
import shutil
import signal
import threading
import time
from collections import Counter
from unittest.mock import Mock

import mutants
import nbformat
import numpy as np
import pytest
from blind_answers import RIGHT
from conftest import ROOT
from IPython.core.interactiveshell import InteractiveShell
from wrong_answers import WRONG, claiming

from helpers import exercises
from helpers.exercises import careful, engine, n01_puzzles, n03_last_layer
from helpers.exercises.engine import EXERCISES, Attempt, Result, check, empty
from helpers.study import plan, records

NOTEBOOKS = {path.name[:2]: path for path in (ROOT / "notebooks").glob("*.ipynb")}


def unmet(number, function):
    return engine.examine(Attempt(function, EXERCISES[number]))


@pytest.fixture(autouse=True)
def nothing_has_passed(monkeypatch):
    monkeypatch.setattr(engine, "_PASSED", {})
    monkeypatch.setattr(engine, "_RECORDS", {})


@pytest.mark.parametrize("number", EXERCISES)
def test_the_courses_own_version_passes_within_the_time_limit(number):
    assert unmet(number, EXERCISES[number].reference) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("number, function", RIGHT, ids=[f"{n}-{f.__name__}" for n, f in RIGHT])
def test_a_right_answer_written_otherwise_passes(number, function):
    found = unmet(number, function)
    assert found is None, (found.property, found.message)


@pytest.mark.parametrize("salt", range(5))
@pytest.mark.parametrize(
    "number", [n for n, one in EXERCISES.items() if "rng" in inspect.signature(one.reference).parameters]
)
def test_a_right_answer_passes_whatever_it_draws(number, salt):
    """Another order of draws is another sample; no bound of a check may depend on ours."""

    def salted(*inputs):
        *others, rng = inputs
        return EXERCISES[number].reference(*others, np.random.default_rng([salt, int(rng.integers(1 << 60))]))

    found = unmet(number, salted)
    assert found is None, (found.property, found.message)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("number, function, wanted", WRONG, ids=[f"{n}-{w}" for n, _, w in WRONG])
def test_a_wrong_answer_is_caught_by_the_property_that_it_lacks(number, function, wanted):
    found = unmet(number, function)
    assert found is not None and found.property.startswith(wanted), found and (found.property, found.message)
    assert found.hint, "a property without a hint"


def test_a_claim_about_a_training_that_was_not_run_is_refused(tmp_path, monkeypatch):
    shutil.copytree(records.root(), tmp_path / "recorded")
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path / "recorded"))
    name = "cifar100_from_conv5_he"
    assert unmet("08.3", claiming(runs=name)) is None
    shutil.rmtree(tmp_path / "recorded" / name)
    records.write_not_run(plan.everything()[name], "no time was left for it")
    assert unmet("08.3", claiming(runs=name)).property == "`runs` names a training that has been recorded"


def test_each_exercise_has_fifteen_wrong_answers_and_three_right_ones():
    wrong, right = Counter(number for number, _, _ in WRONG), Counter(number for number, _ in RIGHT)
    assert not [number for number in EXERCISES if wrong[number] < 15 or right[number] < 2]


def test_two_to_four_exercises_for_each_notebook_in_their_order():
    numbers = list(EXERCISES)
    assert numbers == sorted(numbers)
    counts = Counter(number[:2] for number in numbers)
    assert set(counts) == set(NOTEBOOKS) and all(2 <= count <= 4 for count in counts.values())


def cells(notebook):
    """{number: source} of a notebook's exercise cells, and its other code cells."""
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    own = [cell.source for cell in code if "exercise" in cell.metadata.get("tags", [])]
    others = [cell.source for cell in code if "exercise" not in cell.metadata.get("tags", [])]
    return {re.search(r'exercises\.check\("([\d.]+)"', source)[1]: source for source in own}, others


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_a_notebook_has_its_exercises_in_their_order_as_empty_functions(number, capsys):
    found, others = cells(NOTEBOOKS[number])
    assert list(found) == [one for one in EXERCISES if one[:2] == number]
    for one, source in found.items():
        reference, names = EXERCISES[one].reference, {"exercises": exercises}
        exec(source, names)
        assert "not written yet" in capsys.readouterr().out
        stub = names[reference.__name__]
        assert inspect.signature(stub) == inspect.signature(reference) and stub.__doc__ == reference.__doc__
        bound = re.compile(rf"^(?:def )?{reference.__name__}\b(?: =|\()", re.MULTILINE)
        assert not [cell for cell in others if bound.search(cell)], "a later cell takes the function's name"


@pytest.mark.parametrize("number", EXERCISES)
def test_with_the_courses_own_version_in_its_place_a_cell_passes(number, capsys):
    found, _ = cells(NOTEBOOKS[number[:2]])
    reference = EXERCISES[number].reference
    names = dict(vars(inspect.getmodule(reference))) | {"exercises": exercises}
    check_it = found[number].rpartition("\n")[2]
    exec(inspect.getsource(reference) + "\n" + check_it, names)
    assert capsys.readouterr().out.startswith(f"✓ {number}")
    assert exercises.use(number) is names[reference.__name__]


def test_mutants_of_a_solution_are_caught(monkeypatch, capsys):
    monkeypatch.setattr(engine, "LIMIT", engine.LIMIT)  # main shortens it
    assert not mutants.main(["03.3"])
    assert re.match(r"\d{2} mutants: \d{2} caught, 0 explained, 0 neither", capsys.readouterr().out)
    monkeypatch.setattr(engine, "examine", lambda attempt: None)
    assert mutants.main(["03.3"]) and "[FAIL] 03.3  if loss <= best - epsilon:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "data, labels, count, words",
    [
        ((4, 64, 64, 3), (4,), 1, r"the blob data is \(4, 64, 64, 3\); a batch is \(n, 3, 64, 64\)"),
        ((0, 3, 64, 64), (0,), 1, r"the blob data is \(0, 3, 64, 64\)"),
        ((4, 3, 64, 64), (3,), 1, r"the blob label is \(3,\), and data holds 4 images"),
        ((4, 3, 64, 64), (4,), 0, r"step\(0\): give the number of iterations"),
        ((-4, 3, 64, 64), (4,), 1, "negative dimensions"),
    ],
)
def test_what_caffe_would_die_of_is_an_exception(data, labels, count, words):
    solver = careful.CarefulSolver(n03_last_layer._fresh_solver(n03_last_layer._task()[0]), n03_last_layer.CLASSES)
    with pytest.raises(ValueError, match=words):
        solver.net.blobs["data"].reshape(*data)
        solver.net.blobs["label"].reshape(*labels)
        solver.step(count)
    assert solver.iter == 0


def test_no_answer_stands_in_a_notebook():
    """No line of a solution that is longer than a name stands in a code cell."""
    for number, one in EXERCISES.items():
        body = inspect.getsource(one.reference).split('"""', 2)[2]
        lines = {line.strip() for line in body.splitlines() if len(line.strip()) > 40}
        for path in NOTEBOOKS.values():
            own, others = cells(path)
            stand = {line.strip() for cell in (*own.values(), *others) for line in cell.splitlines()}
            assert not lines & stand, (number, path.name)


def test_a_failure_says_what_failed_what_went_in_and_what_came_out(capsys):
    check("03.3", lambda losses, patience, epsilon: (len(losses), 1))
    out = capsys.readouterr().out
    assert out.startswith("✗ 03.3 Early stopping: not yet.")
    assert "should hold: epochs count from 1" in out
    assert "found:       (4, 1) instead of (4, 2)" in out
    assert "went in:     losses = [3.0, 2.0, 3.0, 3.0], patience = 1, epsilon = 0.125" in out
    assert "came out:    (4, 1)" in out


def test_a_pass_shows_the_courses_own_version(capsys):
    check("01.2", lambda permutation: np.argsort(permutation) + 1)
    out = capsys.readouterr().out
    assert out.startswith("✓ 01.2 Undo a permutation: passes.")
    assert inspect.getsource(n01_puzzles.inverse) in out


CHANNELS, CONTIGUOUS = "transpose(0, 3, 1, 2)", "np.ascontiguousarray"


def reshaped(images, mean, std):
    return ((images - mean) / std).astype(np.float32).reshape(len(images), 3, *images.shape[1:3])


def not_contiguous(images, mean, std):
    return ((images - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)


def test_a_hint_comes_with_the_second_failure_of_its_own_property(capsys):
    shown = []
    for function in (reshaped, reshaped, not_contiguous, not_contiguous, reshaped, not_contiguous):
        check("02.3", function)
        out = " ".join(capsys.readouterr().out.split())
        shown.append([hint for hint in (CHANNELS, CONTIGUOUS, "exercises.solution('02.3')") if hint in out])
    solution = "exercises.solution('02.3')"
    assert shown == [[], [CHANNELS], [], [CONTIGUOUS], [CHANNELS, solution], [CONTIGUOUS, solution]]


def test_a_check_returns_what_a_grader_asks_for(capsys):
    right, wrong = check("02.3", EXERCISES["02.3"].reference), check("02.3", not_contiguous)
    assert right == Result("02.3", True) and wrong.exercise == "02.3" and not wrong.passed
    assert (wrong.property, wrong.message[:16]) == ("it is contiguous in memory", "its strides are ")
    assert capsys.readouterr().out == f"{right!r}\n{wrong!r}\n"
    unwritten = check("02.3", lambda images, mean, std: None)
    assert (unwritten.passed, unwritten.property) == (False, "it is written")


def test_a_notebook_shows_a_result_once(capsys):
    shell = InteractiveShell.instance()
    try:
        shell.push({"check": check, "mine": not_contiguous})
        for cell, times in (("check('02.3', mine)", 1), ("a = check('02.3', mine)", 1), ("a", 1), ("a.passed", 0)):
            shell.run_cell(cell, store_history=True)
            assert capsys.readouterr().out.count("not yet") == times, cell
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    "number, function, message",
    [
        ("02.3", lambda images, mean, std: np.multiply(images, 0, out=images), "images changed"),
        ("03.3", lambda losses, patience, epsilon: losses.clear(), "losses changed"),
        ("06.2", lambda puzzles, random_trunk, train: puzzles["initial"].pop("fc6"), "puzzles changed"),
        ("06.1", lambda net, shapes: net.layer.pop().name, "net changed"),
    ],
)
def test_an_input_that_was_changed_is_said_whatever_it_is(number, function, message):
    found = unmet(number, lambda *inputs: (function(*inputs), 1))
    assert (found.property, found.message) == ("the inputs stay as they were", message)


def test_hash_is_pythons_own_again_after_a_check():
    assert unmet("03.2", EXERCISES["03.2"].reference) is None and "hash" not in vars(n03_last_layer)


def test_what_was_tried_is_remembered_by_a_later_kernel(runs, capsys):
    check("01.2", lambda permutation: permutation)
    check("01.3", n01_puzzles.normalise)
    exercises.solution("02.3")
    assert "np.ascontiguousarray" in capsys.readouterr().out
    table = exercises.progress()
    assert list(table.index) == list(EXERCISES)
    assert table.loc["01.2"].tolist() == ["Undo a permutation", "tried", 1, ""]
    assert table.loc["01.3", "state"] == "passed" and table.loc["02.3", "solution seen"] == "yes"
    assert table.loc["03.1", "state"] == "open"
    assert list(exercises.progress("03").index) == ["03.1", "03.2", "03.3"]
    assert sorted(path.name for path in (runs / "exercises").glob("*.json")) == ["01.2.json", "01.3.json", "02.3.json"]
    check("01.3", lambda tiles: tiles)  # a later failure takes nothing away
    assert exercises.progress().loc["01.3"].tolist()[1:3] == ["passed", 1]


def test_what_was_passed_comes_back_from_the_copies_and_does_without_them(runs, tmp_path, monkeypatch):
    """On Colab the runs end with the session; a Drive outlives it, where there is one."""
    monkeypatch.setenv("JIGSAW_BACKUP", str(tmp_path / "drive" / "runs"))
    check("01.3", n01_puzzles.normalise)
    shutil.rmtree(runs / "exercises")
    assert exercises.progress().loc["01.3", "state"] == "passed"
    (tmp_path / "drive" / "runs" / "exercises" / "01.3.json").write_text("{")
    assert exercises.progress().loc["01.3", "state"] == "open"
    shutil.rmtree(tmp_path / "drive")
    (tmp_path / "drive").touch()
    check("01.3", n01_puzzles.normalise)
    assert exercises.progress().loc["01.3", "state"] == "passed"


def test_progress_that_cannot_be_written_is_remembered_by_this_kernel(runs, monkeypatch, capsys):
    """In a folder that a teacher shares, read-only; as root nothing is, so writing itself fails here."""
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(engine.course, "write_atomically", Mock(side_effect=refused))
    for _ in range(2):
        check("02.3", not_contiguous)
    out = capsys.readouterr().out
    assert out.count(f"{runs / 'exercises'} cannot be written to") == 1 and CONTIGUOUS in out
    exercises.solution("02.3")
    assert exercises.progress().loc["02.3"].tolist()[1:] == ["tried", 2, "yes"]
    runs.parent.joinpath("file").touch()
    monkeypatch.setenv("JIGSAW_RUNS", str(runs.parent / "file"))
    check("01.3", n01_puzzles.normalise)
    assert exercises.progress().loc["01.3", "state"] == "passed"


def test_use_gives_the_students_function_once_it_has_passed():
    def mine(permutation):
        return np.argsort(permutation) + 1

    assert exercises.use("01.2") is n01_puzzles.inverse
    check("01.2", lambda permutation: permutation)
    assert exercises.use("01.2") is n01_puzzles.inverse
    check("01.2", mine)
    assert exercises.use("01.2") is mine


def stub(permutation):
    """A docstring, as in the notebooks."""
    ...


def test_an_empty_stub_is_no_failure(capsys, runs):
    for function in (stub, lambda permutation: None):
        check("01.2", function)
        assert "not written yet" in capsys.readouterr().out
    assert exercises.progress().loc["01.2", "failures"] == 0
    assert not empty(lambda permutation: permutation) and not empty(lambda permutation: 0) and not empty(np.argsort)


def endless(permutation):
    while True:
        pass


def endless_in_spite_of_exceptions(permutation):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


def asleep(permutation):
    time.sleep(1000)


@pytest.mark.parametrize("function", [endless, endless_in_spite_of_exceptions, asleep])
def test_an_endless_loop_is_interrupted(function, capsys, monkeypatch):
    monkeypatch.setattr(engine, "LIMIT", 0.2)
    before = signal.getsignal(signal.SIGALRM)
    check("01.2", function)
    assert "was interrupted" in capsys.readouterr().out
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) == before


def test_a_right_answer_passes_on_a_machine_with_other_work(capsys, monkeypatch):
    """The limit is of what the check computes, not of the clock alone."""
    monkeypatch.setattr(engine, "LIMIT", 1)
    waits = [1.5]  # as a process does until its turn

    def slow(permutation):
        if waits:
            time.sleep(waits.pop())
        return n01_puzzles.inverse(permutation)

    check("01.2", slow)
    assert "passes" in capsys.readouterr().out


def test_a_check_works_in_another_thread(capsys):
    """Where no signal can be caught, as in a widget's."""
    thread = threading.Thread(target=check, args=("01.2", n01_puzzles.inverse))
    thread.start()
    thread.join()
    assert "passes" in capsys.readouterr().out


def divides_by_zero(permutation):
    return 1 / 0


@pytest.mark.parametrize(
    "function, words",
    [
        (divides_by_zero, "ZeroDivisionError in line {line}, `return 1 / 0`: division by zero"),
        (lambda: 1, "TypeError"),
        (lambda permutation: exit(), "SystemExit"),
        (lambda permutation: [[1], [1, 2]], "[[1], [1, 2]], not (5,)"),
        (lambda permutation: "nine", "'nine', not (5,)"),
        (lambda permutation: None or {}.get(1), "it returned None"),
    ],
)
def test_what_a_student_breaks_is_said_in_a_line(function, words, capsys):
    check("01.2", function)
    out = capsys.readouterr().out
    line = inspect.getsourcelines(divides_by_zero)[1] + 1
    assert words.format(line=line) in out and "Traceback" not in out


def test_the_stop_button_stops():
    def interrupted(permutation):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("01.2", interrupted)


def test_a_number_that_no_exercise_has_and_a_call_in_place_of_the_function():
    with pytest.raises(ValueError, match="no exercise '09.1'; there are 01.1, 01.2"):
        check("09.1", stub)
    with pytest.raises(TypeError, match=r"without calling it: exercises.check\('01.2', inverse\)"):
        check("01.2", np.arange(9))


@pytest.mark.parametrize(
    "value, words",
    [
        (np.arange(3), "int64 [0, 1, 2]"),
        (np.zeros((9, 4, 4, 3), np.uint8), "uint8 array of shape (9, 4, 4, 3)"),
        (np.float32(0.5), "0.5"),
        ((1, [2.5, None]), "(1, [2.5, None])"),
        ({"fc6": [np.zeros((5, 5))]}, "{'fc6': [float64 array of shape (5, 5)]}"),
        (stub, "stub"),
        (None, "None"),
        (object(), "<object>"),
    ],
)
def test_values_in_a_few_words(value, words):
    assert engine.describe(value) == words
