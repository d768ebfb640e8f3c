"""Fields of data layers that only another Caffe knows, taken out of a prototxt's text before it is parsed.

Many forks gave their data layers fields of their own. Data layers are not run here, so the nets behind them can be
read all the same. In every other layer an unknown field stays an error: it would change what is computed.
"""

import re
from dataclasses import dataclass

import caffe
from caffe.proto import caffe_pb2

TOKEN = re.compile(
    r"""[ \t\r\n]+|\#[^\n]*|(?P<token>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[^\s{}<>\[\]:;,#"']+|[{}<>\[\]:;,])"""
)
CLOSING = {"{": "}", "<": ">"}
NOT_DATA = ("input", "dummydata", "parameter", "python")  # layers without a bottom whose prototxt says what they give
RULES = ("include", "exclude")
DEEPEST = 20  # messages in messages; Caffe's own lie four deep


@dataclass(frozen=True)
class _Field:
    """A field in a prototxt's text: where it begins and ends, its value as it is written, the fields in it."""

    name: str
    start: int
    end: int
    value: str = ""
    inner: tuple = ()


class _Malformed(Exception):
    """The text is no prototxt: the parser will say where."""


def without_unknown(text):
    """(the text, of the same length in lines and columns, without such fields; {data layer: their names}).

    A layer is a data layer where it reads no blob and gives one; its type may be unknown, too.
    """
    try:
        layers = [field for field in _Reader(text).fields() if field.name in ("layer", "layers")]
    except _Malformed:
        return text, {}
    found, cut = {}, []
    for layer in layers:
        parts = {field.name: field.value.strip("\"'") for field in layer.inner}
        kind = parts.get("type", "").replace("_", "").lower()  # DUMMY_DATA in 2014
        if "bottom" in parts or "top" not in parts or kind in NOT_DATA:
            continue
        message = caffe_pb2.LayerParameter if layer.name == "layer" else caffe_pb2.V1LayerParameter
        for path, field in _unknown(layer.inner, message.DESCRIPTOR):
            found.setdefault(parts.get("name", ""), {})[path] = None
            cut.append(field)
    for field in cut:
        text = text[: field.start] + re.sub(r"[^\n]", " ", text[field.start : field.end]) + text[field.end :]
    return text, {layer: list(paths) for layer, paths in found.items()}


def is_data_layer(layer):
    """Whether a layer of a prototxt message gives data, of a type that this Caffe lacks."""
    return layer.type not in caffe.layer_type_list() and not layer.bottom and bool(layer.top)


def _unknown(fields, descriptor, path=""):
    """(path, field) of each field that a message has not, and of each whose value its enum has not."""
    for field in fields:
        known = descriptor.fields_by_name.get(field.name)
        if known is None or known.enum_type and not path + field.name == "type" and not _in_enum(known, field.value):
            yield path + field.name, field
        elif known.message_type and field.name not in RULES:
            yield from _unknown(field.inner, known.message_type, f"{path}{field.name}.")


def _in_enum(known, value):
    return value in known.enum_type.values_by_name or value.lstrip("-").isdecimal()


class _Reader:
    """The text format's grammar, as far as it is needed to find where fields begin and end."""

    def __init__(self, text):
        self.tokens, self.next, end = [], 0, 0
        while end < len(text):
            match = TOKEN.match(text, end)
            if not match:
                raise _Malformed
            end = match.end()
            if match["token"]:
                self.tokens.append((match["token"], match.start(), end))

    def peek(self):
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self):
        if self.next == len(self.tokens):
            raise _Malformed
        self.next += 1
        return self.tokens[self.next - 1]

    def fields(self, closing="", depth=0):
        found = []
        if depth > DEEPEST:
            raise _Malformed
        while self.peek() != closing:
            name, start, _ = self.take()
            if self.peek() == ":":
                self.take()
            value, inner = self.value(depth)
            found.append(_Field(name, start, self.tokens[self.next - 1][2], value, tuple(inner)))
            if self.peek() in (";", ","):
                self.take()
        if closing:
            self.take()
        return found

    def value(self, depth):
        value, _, _ = self.take()
        if value in CLOSING:
            return "", self.fields(CLOSING[value], depth + 1)
        if value == "[":
            inner = []
            while self.peek() != "]":
                inner += self.value(depth + 1)[1]
                if self.peek() == ",":
                    self.take()
            self.take()
            return "", inner
        while value[:1] in "\"'" and self.peek()[:1] in ("'", '"'):  # strings side by side are one
            value += self.take()[0]
        return (value + self.take()[0] if value == "-" else value), ()
