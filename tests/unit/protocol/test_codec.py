from __future__ import annotations

import array
import contextlib
import datetime
import enum
import gc
import json
import mmap
import sys
import uuid
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import InvalidMessage
from odac.protocol import codec
from odac.protocol.codec import decode_text, encode, encode_binary, make_decoder
from odac.wire.frames import BINARY, TEXT


class Text(str):
    __slots__ = ()


class Bytes(bytes):
    __slots__ = ()


@dataclass
class Point:
    x: int
    y: int


class Chat(msgspec.Struct):
    text: str
    to: int = 0


class Move(TypedDict):
    dx: int


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("hello", b"hello"),
        ("", b""),
        ("héllo 😀", "héllo 😀".encode()),
        ('{"a":1}', b'{"a":1}'),
        (Text("sub"), b"sub"),
        ({"a": [1, 2.5, True, None, "é"]}, '{"a":[1,2.5,true,null,"é"]}'.encode()),
        ([], b"[]"),
        ((1, 2), b"[1,2]"),
        (7, b"7"),
        (2**64, b"18446744073709551616"),
        (1.5, b"1.5"),
        (True, b"true"),
        (None, b"null"),
        (float("nan"), b"null"),
        (float("inf"), b"null"),
        ({1: "a"}, b'{"1":"a"}'),
        (Point(1, 2), b'{"x":1,"y":2}'),
        (Chat("hi"), b'{"text":"hi","to":0}'),
        (datetime.date(2026, 1, 2), b'"2026-01-02"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
    ],
    ids=repr,
)
def test_text_messages(data: object, payload: bytes) -> None:
    message = encode(data)
    assert (message.opcode, message.payload) == (TEXT, payload)


class Whole(int):
    def __str__(self) -> str:
        return "not asked"


class Real(float):
    def __repr__(self) -> str:
        return "not asked"


class Markup(str):
    """As Django's SafeString, which is a str with a mark."""

    def __str__(self) -> str:
        return self


class Level(enum.Enum):
    LOW = 1
    NAME = Markup("high")


PLAIN = [
    (Markup("<b>é"), "<b>é"),
    (Whole(7), 7),
    (Real(1.5), 1.5),
    (Real("nan"), None),
    (numpy.float64(1.5), 1.5),
    (numpy.float32(0.5), 0.5),
    (numpy.int64(-3), -3),
    (numpy.uint8(200), 200),
    (numpy.bool_(True), True),
    (numpy.array(3), 3),
    (numpy.datetime64("2026-01-02"), "2026-01-02"),
    (Level.LOW, 1),
    (Level.NAME, "high"),
]


@pytest.mark.parametrize(("data", "value"), PLAIN, ids=lambda each: type(each).__name__)
def test_what_is_more_than_a_plain_value_is_encoded_as_that_value_at_the_top_and_inside(
    data: object, value: object
) -> None:
    message = encode(data)
    assert message.opcode == TEXT
    assert message.payload == (value.encode() if type(data) is Markup else json.dumps(value).encode())  # type: ignore[attr-defined]
    assert json.loads(encode({"a": [data]}).payload) == {"a": [value]}
    if isinstance(data, (str, int, numpy.integer)):
        assert json.loads(encode({data: 1}).payload) == {str(value): 1}


def test_a_number_without_a_python_value_is_a_type_error_at_the_top_and_inside() -> None:
    for data in (numpy.longdouble(1.5), numpy.complex128(1 + 2j)):
        for each in (data, [data]):
            with pytest.raises(TypeError, match="cannot send"):
                encode(each)


def test_an_array_is_binary_at_the_top() -> None:
    assert encode(numpy.array([1, 2], dtype="<u2")).payload == b"\x01\x00\x02\x00"


def test_memory_that_was_released_is_a_type_error() -> None:
    view = memoryview(b"abc")
    view.release()
    for make in (encode, encode_binary):
        with pytest.raises(TypeError, match="its memory cannot be read"):
            make(view)
    with pytest.raises(TypeError, match="cannot send"):
        encode([view])


def binaries() -> list[tuple[str, Any, bytes]]:
    table = mmap.mmap(-1, 4)
    table.write(b"mmap")
    return [
        ("bytes", b"\x00\xff", b"\x00\xff"),
        ("empty", b"", b""),
        ("subclass", Bytes(b"abc"), b"abc"),
        ("bytearray", bytearray(b"abc"), b"abc"),
        ("memoryview", memoryview(b"abc"), b"abc"),
        ("strided", memoryview(b"abcdef")[::2], b"ace"),
        ("array-of-int32", array.array("i", [1, -1]), array.array("i", [1, -1]).tobytes()),
        ("array-of-double", array.array("d", [0.5]), array.array("d", [0.5]).tobytes()),
        ("two-dimensional", memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
        ("mmap", table, b"mmap"),
    ]


@pytest.mark.parametrize(("data", "payload"), [pytest.param(d, p, id=name) for name, d, p in binaries()])
def test_binary_messages(data: Any, payload: bytes) -> None:
    for message in (encode(data), encode_binary(data)):
        assert (message.opcode, message.payload) == (BINARY, payload)
        assert type(message.payload) is bytes


def test_a_buffer_that_changes_later_does_not_change_the_message() -> None:
    buffer = bytearray(b"abc")
    message = encode(buffer)
    buffer[0] = 0
    buffer.extend(b"grows")
    assert message.payload == b"abc"


DEEP = 1_000_000
"""More levels than any version of Python follows: since 3.14 as many as the stack has room for, more than 100,000."""


def circle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(DEEP):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (object(), "this object: .*object is unsupported: send JSON types"),
        ({"a": object()}, "this dict: .*object is unsupported"),
        (1 + 2j, "this complex"),
        ({(1, 2): 3}, "this dict: Only dicts with str-like or number-like keys"),
        ("\ud800", "this str: it holds a lone surrogate"),
        (Text("\udfff"), "this str: it holds a lone surrogate"),
        ({"a": "\ud800"}, "this dict: it holds a lone surrogate"),
        (circle(), "this list: it is nested too deeply"),
        (deep(), "this list: it is nested too deeply"),
        (lambda: None, "this function"),
    ],
    ids=[
        "object",
        "inside",
        "complex",
        "key",
        "surrogate",
        "subclass",
        "surrogate-inside",
        "circle",
        "deep",
        "function",
    ],
)
def test_what_cannot_be_sent_is_a_type_error_that_says_so(data: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        encode(data)


def test_usual_mistakes_are_named() -> None:
    async def count() -> int:
        return 1

    forgotten = count()
    with pytest.raises(TypeError, match="an await is missing"):
        encode({"count": forgotten})
    forgotten.close()


@pytest.mark.parametrize("data", ["text", 7, None, [1], {"a": 1}])
def test_send_binary_takes_bytes_only(data: object) -> None:
    with pytest.raises(TypeError, match=rf"not {type(data).__name__}: use send"):
        encode_binary(data)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"a":[1,2.5,null]}', {"a": [1, 2.5, None]}),
        (b"[]", []),
        (b'"text"', "text"),
        (b"7", 7),
        (b"-7.5e1", -75.0),
        (b"true", True),
        (b"false", False),
        (b"null", None),
        (b" \t\r\n{} ", {}),
        (b"true \n", True),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"__proto__":1,"constructor":2}', {"__proto__": 1, "constructor": 2}),
    ],
)
def test_json_arrives_parsed(payload: bytes, value: object) -> None:
    decoded = decode_text(payload)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "this is chat",
        "nullify",
        "falsehood",
        "true or not",
        "tru",
        "é",
        "😀",
        "{broken",
        "[1,]",
        "[1, 2",
        '"open',
        "1 apple",
        "01",
        "-",
        "-Infinity",
        "NaN",
        "{}{}",
        "'single'",
        "\x1ehello",
        "\ufeff{}",
        '"\\x"',
        '{"a": "\\ud800", broken',
    ],
)
def test_other_text_arrives_as_it_is(text: str) -> None:
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"[" * DEEP, "nested too deeply"),
        (b"[" * DEEP + b"]" * DEEP, "nested too deeply"),
        (b'{"a":' * DEEP, "nested too deeply"),
        (b"9" * 5000, "out of range"),
        (b'{"a":[' + b"9" * 5000 + b"]}", r"out of range.*\[0\]"),
        (b"1e999", "out of range"),
        (b"-1e999", "out of range"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'"\\udc00 \\ud800"', "half a surrogate pair"),
        (b'{"a":"\\ud800\\u0041"}', "half a surrogate pair"),
        (b'{"\\uDBFF":1}', "half a surrogate pair"),
        (b'["\\ud800",' + b"[" * DEEP, "nested too deeply|half a surrogate pair"),
    ],
    ids=[
        "deep-open",
        "deep",
        "deep-objects",
        "integer",
        "integer-inside",
        "float",
        "negative",
        "high",
        "low",
        "pair",
        "key",
        "both",
    ],
)
def test_json_without_a_python_value_is_an_invalid_message(payload: bytes, words: str) -> None:
    with pytest.raises(InvalidMessage, match=words) as caught:
        decode_text(payload)
    assert len(caught.value.reason.encode()) <= 123


@pytest.mark.parametrize(
    ("type_", "payload", "value"),
    [
        (Chat, b'{"text":"hi","to":3,"more":true}', Chat("hi", 3)),
        (Point, b'{"x":1,"y":2}', Point(1, 2)),
        (Move, b'{"dx":1}', {"dx": 1}),
        (list[int], b"[1,2]", [1, 2]),
        (Chat | None, b"null", None),
    ],
    ids=["struct", "dataclass", "typed-dict", "list", "optional"],
)
def test_decoder_makes_the_declared_type(type_: Any, payload: bytes, value: object) -> None:
    assert make_decoder(type_)(payload) == value


@pytest.mark.parametrize(
    ("type_", "payload", "words"),
    [
        (Chat, b'{"text":1}', r"Expected `str`, got `int` - at `\$.text`"),
        (Chat, b"{}", "missing required field `text`"),
        (Chat, b'{"text":"a","to":"x"}', r"at `\$.to`"),
        (Chat, b'{"text":"a","to":1e999}', r"out of range - at `\$.to`"),
        (Chat, b'{"text":"a","to":' + b"9" * 5000 + b"}", r"out of range - at `\$.to`"),
        (Point, b'{"x":1}', "missing required field `y`"),
        (Move, b'{"dx":null}', r"at `\$.dx`"),
        (Chat, b"[]", "Expected `object`, got `array`"),
        (Chat, b"hello", "not JSON"),
        (Chat, b"", "not JSON"),
        (Chat, b'{"text":"a"', "not JSON"),
        (Chat, b'{"text":"\\ud800"}', "not JSON"),
        (Chat, b'{"text":"a","more":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (list[Any], b"[" * DEEP, "nested too deeply"),
        (Chat, b'{"text":"\xff"}', "not JSON"),
    ],
)
def test_decoder_names_what_is_wrong(type_: Any, payload: bytes, words: str) -> None:
    with pytest.raises(InvalidMessage, match=words):
        make_decoder(type_)(payload)


def test_a_type_that_cannot_be_decoded_is_found_at_once() -> None:
    class Plain:
        def __init__(self, other: object) -> None:
            self.other = other

    with pytest.raises(TypeError):
        make_decoder(dict[Plain, int] | list[Plain] | dict[int, Plain])
    with pytest.raises(TypeError, match="a class whose fields are not declared"):
        make_decoder(Plain)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
        max_leaves=8,
    )
    | st.sampled_from(
        ["", "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536, b"x" * 65_536, "\x1e", "\ud800", [object()]]
    )
    | st.sampled_from(
        [Text("t"), Bytes(b"b"), bytearray(b"a"), memoryview(b"m"), {1, 2}, Point(1, 2), {"a": {3: object()}}]
    )
)
def test_the_compiled_function_and_its_reference_make_the_same(data: object) -> None:
    if codec.encode is codec.reference_encode:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")

    def outcome(encode: Any) -> object:
        try:
            message = encode(data)
        except TypeError as error:
            return str(error)
        escaped = message.escaped
        return (
            *(message.opcode, message.payload, message.frame, type(message)),
            *(escaped and escaped.frame, message.is_text and message.text, message.compressed(15)),
        )

    assert outcome(codec.encode) == outcome(codec.reference_encode)


def test_nothing_is_kept_of_what_was_encoded() -> None:
    values: list[object] = ["text", b"bytes", {"a": [1, None]}, "\x1e", "x" * 70_000]

    def many() -> int:
        for _ in range(2000):
            for value in values:
                codec.encode(value)
            with contextlib.suppress(TypeError):
                codec.encode("\ud800")
        gc.collect()
        return sys.getallocatedblocks()

    many()
    before = many()
    assert many() - before < 100  # of 12,000 messages
