"""A function's identity for a checksum: what its author wrote, never what it computes, which may be random."""

import contextlib
import dataclasses
import functools
import types
import zlib

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def crc_of(function):
    """CRC-32 of a function: its code, and the numbers, texts and arrays in its arguments' defaults, its closure, and
    the globals that it names. Functions of its own module are looked into, those of others count by their name; other
    objects, random generators among them, by their type alone.
    """
    own = getattr(function, "__module__", None)
    return zlib.crc32(repr(_described(function, own, frozenset())).encode())


def _described(value, own, seen):
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, zlib.crc32(np.ascontiguousarray(value))
    if id(value) in seen:
        return "again"
    inner = functools.partial(_described, own=own, seen=seen | {id(value)})
    if isinstance(value, types.FunctionType) and value.__module__ == own:
        return inner(value.__code__), [inner(each) for each in _held(value)]
    if isinstance(value, types.CodeType):
        return value.co_code.hex(), value.co_names, [inner(constant) for constant in value.co_consts]
    if isinstance(value, types.MethodType):
        return inner(value.__func__), inner(value.__self__)
    if isinstance(value, functools.partial):
        return [inner(each) for each in (value.func, *value.args, *value.keywords.items())]
    if isinstance(value, tuple | list):
        return [inner(each) for each in value]
    if isinstance(value, dict):
        return [inner(item) for item in value.items()]
    if isinstance(value, frozenset | set):
        return sorted(repr(inner(each)) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [inner(getattr(value, field.name)) for field in dataclasses.fields(value)]
    named = value if hasattr(value, "__qualname__") or isinstance(value, types.ModuleType) else type(value)
    method = vars(type(value)).get("__call__")
    code = inner(method.__code__) if isinstance(method, types.FunctionType) else ""
    return getattr(named, "__module__", ""), getattr(named, "__qualname__", named.__name__), code


def _held(function):
    """What a function holds on to: defaults, the variables that it closes over, the globals that it names."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).items()
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def _names(code):
    """The names that a function's code uses, and that of the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return sorted({*code.co_names, *(name for each in inner for name in _names(each))})
