#!/usr/bin/env python3
"""Spoil the exercises' reference solutions, one place at a time, and see that the checks notice: make mutants

mutmut and cosmic-ray change files and run a test command for each; here a mutant is compiled beside the original, and
its own check run, which takes a minute for all. Exits with an error that lists the mutants that passed unexplained.
"""

import ast
import contextlib
import inspect
import io
import sys
import textwrap
import warnings

from helpers.exercises import engine

SWAPS = {
    ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr],
    ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "reversed": "list", "sorted": "list", "argmax": "argmin", "argmin": "argmax"}
NAMES |= {"sum": "mean", "mean": "sum", "zeros": "ones", "ascontiguousarray": "asarray"}
# Mutants that pass, by exercise and a part of the mutated statement: why they may.
EXPLAINED = {
    ("01.3", "deviation, 2)"): "a channel of zeros, divided by anything",
    ("01.4", ".sum(axis=1)"): "the largest sum is the largest mean",
    ("01.4", ".mean(axis=2).mean(axis=1)"): "the largest mean is the largest sum",
    ("01.4", "left[:, True]"): "an axis more, as with None",
    ("02.1", "enumerate(windows[:])"): "whether a window overlaps itself or a later one changes no group",
    ("02.1", "list(set(group))"): "they are shuffled anyway",
    ("02.2", "reshape(-2, 3)"): "NumPy takes any negative number",
    ("03.2", "imagesx"): "any word serves that is always the same",
    ("03.2", "x{array."): "any word serves that is always the same",
    ("04.1", "if False"): "the next line raises the KeyError",
    ("04.1", "and name not in params"): "the next line raises the KeyError",
    ("04.3", "1001"): "one draw more",
    ("06.1", "layer.param[1].name"): "nets that share weights share biases here",
    ("07.1", "(frame + start)"): "a turn that begins elsewhere",
    ("07.2", ".mean(axis=2)"): "the smallest sum is the smallest mean",
    ("07.2", ", -2)"): "NumPy takes any negative number",
    ("07.2", "asked[:, True]"): "an axis more, as with None",
    ("08.3", ""): "what a claim says is its author's",
}


def mutants(function):
    """Yield (the mutated statement, the mutated function's source as a tree) for each place of a function."""
    source = textwrap.dedent(inspect.getsource(function))
    for number, _ in enumerate(ast.walk(ast.parse(source))):
        for choice in range(3):
            tree = ast.parse(source)
            tree.body[0].body = tree.body[0].body[1:] if ast.get_docstring(tree.body[0]) else tree.body[0].body
            nodes = list(ast.walk(tree))
            if number < len(nodes) and spoil(nodes[number], choice):
                inside = (n for n in nodes if isinstance(n, ast.stmt) and nodes[number] in ast.walk(n))
                statement = min(inside, key=lambda n: sum(1 for _ in ast.walk(n)))
                if isinstance(statement, ast.Raise):  # the words of an exception are free
                    continue
                yield ast.unparse(statement).splitlines()[0], ast.fix_missing_locations(tree)


def spoil(node, choice):
    """Change a node in place in its `choice`-th way; False where it has no such way."""
    if isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp | ast.AugAssign):
        operator = node.ops[0] if isinstance(node, ast.Compare) else node.op
        others = SWAPS.get(type(operator), [])
        if choice >= len(others):
            return False
        if isinstance(node, ast.Compare):
            node.ops[0] = others[choice]()
        else:
            node.op = others[choice]()
    elif isinstance(node, ast.Constant) and choice == 0:
        if node.value is Ellipsis:
            return False
        if isinstance(node.value, bool) or node.value is None:
            node.value = not node.value
        else:
            node.value += "x" if isinstance(node.value, str) else 1
    elif isinstance(node, ast.Name | ast.Attribute) and choice == 0:
        field = "id" if isinstance(node, ast.Name) else "attr"
        if getattr(node, field) not in NAMES:
            return False
        setattr(node, field, NAMES[getattr(node, field)])
    elif isinstance(node, ast.If | ast.IfExp) and choice < 2:
        node.test = ast.Constant(bool(choice))
    elif isinstance(node, ast.Continue | ast.Pass) and choice == 0:
        node.__class__ = ast.Break
    elif isinstance(node, ast.UnaryOp) and choice == 0:
        node.op = ast.UAdd()  # -1 becomes 1, `not here` becomes `here`
    elif isinstance(node, ast.Slice) and choice < 2:
        field = ("lower", "upper")[choice]
        if getattr(node, field) is None:
            return False
        setattr(node, field, None)
    elif isinstance(node, ast.Call) and choice < len(node.keywords):
        del node.keywords[choice]
    else:
        return False
    return True


def survives(number, tree):
    """Whether a mutant passes the check of its exercise."""
    one = engine.EXERCISES[number]
    names = dict(vars(inspect.getmodule(one.reference)))
    exec(compile(tree, "mutant", "exec"), names)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return engine.examine(engine.Attempt(names[one.reference.__name__], one)) is None


def main(chosen):
    engine.LIMIT, total, passed = 2, 0, []
    for number in chosen or engine.EXERCISES:
        for statement, tree in mutants(engine.EXERCISES[number].reference):
            total += 1
            if survives(number, tree):
                passed.append((number, statement))
    known = [one for one in passed if any(one[0] == number and part in one[1] for number, part in EXPLAINED)]
    passed = [f"{number}  {statement}" for number, statement in passed if (number, statement) not in known]
    caught = total - len(known) - len(passed)
    print(f"{total} mutants: {caught} caught, {len(known)} explained, {len(passed)} neither")
    for line in passed:
        print(f"[FAIL] {line}")
    return bool(passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
