"""Encodes data as messages and decodes messages: JSON, other text, binary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from odac.errors import InvalidMessage
from odac.protocol.message import Prepared
from odac.protocol.pydantic_types import encode_unknown, make_validator
from odac.speedups import compiled_encode
from odac.wire.frames import BINARY, TEXT

__all__ = [
    "UNKNOWN_CLASS",
    "decode_json",
    "decode_text",
    "encode",
    "encode_binary",
    "has_unknown_class",
    "json_decoder",
    "make_decoder",
    "parts_of",
    "reference_encode",
]


def _encode_other(data: Any) -> object:
    """Return the value to encode instead of one of an unknown type: msgspec's hook.

    A subclass of ``str``, ``int``, ``float`` or ``bytes`` is encoded as its base class, a scalar of numpy as its Python
    value.
    """
    for kind in _PLAIN:
        if isinstance(data, kind):
            return _PLAIN[kind](data)
    if _is_scalar(data):
        value = data.item()
        if type(value) is not type(data):
            return value
    return encode_unknown(data)


def _is_scalar(data: Any) -> bool:
    """Whether this is a single number of an array library, which is encoded as a number although it has a buffer."""
    return callable(getattr(data, "item", None)) and getattr(data, "ndim", None) == 0


_PLAIN: Final[dict[type, Callable[[Any], object]]] = {
    str: str.__str__,  # str() would call the subclass's method
    int: int.__int__,
    float: float.__float__,
    bytes: bytes.__bytes__,
}

encode_json: Final = msgspec.json.Encoder(enc_hook=_encode_other).encode
decode_json: Final = msgspec.json.Decoder().decode

_JSON: Final = frozenset({dict, list, tuple, int, float, bool, type(None)})
"""Types that are encoded as JSON at once; of any other, it is tried first whether it is bytes-like."""

_WORDS: Final[dict[bytes, object]] = {b"true": True, b"false": False, b"null": None}
_MAYBE_JSON: Final = frozenset(b'{["-0123456789 \t\r\n')
_WORD_STARTS: Final = frozenset(b"tfn")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def reference_encode(data: object) -> Prepared:
    """Make a message of anything that can be sent.

    Args:
        data: a ``str`` is sent as text as it is, anything bytes-like (PEP 3118, any item size) as binary, all else as
            JSON text: dict, list, tuple, set, numbers, bool, None, dataclasses, msgspec Structs, pydantic models,
            datetimes, UUIDs.
            Subclasses of ``str``, ``int`` and ``float`` are encoded as their base class, numpy's scalars as numbers.
            NaN and the infinities become ``null``, as with ``JSON.stringify``.

    Raises:
        TypeError: the data cannot be sent: it has another type, a lone surrogate, or is nested too deeply.
    """
    kind = type(data)
    if kind is str:
        try:
            return Prepared(TEXT, data.encode())  # type: ignore[attr-defined]
        except UnicodeEncodeError as error:
            raise _cannot_send(data, error) from None
    if kind is bytes:
        return Prepared(BINARY, data)  # type: ignore[arg-type]
    if kind not in _JSON:
        if isinstance(data, str):
            return reference_encode(str.__str__(data))  # the text itself: str() of an enum would be its name
        if not isinstance(data, (int, float)) and not _is_scalar(data):
            try:
                return Prepared(BINARY, memoryview(data).tobytes())  # type: ignore[arg-type]
            except TypeError:
                pass
            except (ValueError, BufferError) as error:
                raise _cannot_send(data, error) from None
    try:
        return Prepared(TEXT, encode_json(data))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _cannot_send(data, error) from None


encode = compiled_encode(reference_encode, Prepared, encode_json, TEXT, BINARY)


def _cannot_send(data: object, error: Exception) -> TypeError:
    if isinstance(error, UnicodeEncodeError):
        why = "it holds a lone surrogate, which no UTF-8 text can: clean it with .encode(errors='replace').decode()"
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply, or contains itself"
    elif isinstance(error, BufferError) or isinstance(data, memoryview):
        why = f"its memory cannot be read: {error}"
    else:
        why = f"{str(error)[:200]}: send JSON types, str, bytes, dataclasses, msgspec Structs or pydantic models"
        if "type coroutine" in why:
            why += " (an await is missing where it was called)"
    return TypeError(f"cannot send this {type(data).__name__}: {why}")


def encode_binary(data: object) -> Prepared:
    """Make a binary message of anything bytes-like, whatever its item size.

    Raises:
        TypeError: it is not bytes-like.
    """
    if type(data) is bytes:
        return Prepared(BINARY, data)
    try:
        return Prepared(BINARY, memoryview(data).tobytes())  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"send_binary takes bytes or another bytes-like object, not {type(data).__name__}: use send() for it"
        ) from None
    except (ValueError, BufferError) as error:
        raise _cannot_send(data, error) from None


def decode_text(payload: bytes) -> object:
    """Return the content of a text message: parsed JSON, or the text itself if it is not JSON.

    Args:
        payload: valid UTF-8.

    Raises:
        InvalidMessage: it is JSON that cannot be decoded: nested too deeply, a number out of range, half a surrogate
            pair.
    """
    if not payload:
        return ""
    first = payload[0]
    if first in _MAYBE_JSON:
        try:
            return decode_json(payload)
        except msgspec.ValidationError as error:
            raise InvalidMessage(f"JSON that cannot be read: {error}") from None
        except msgspec.DecodeError:
            if _SURROGATE.search(payload) is not None and _is_json(payload):
                raise InvalidMessage("JSON that cannot be read: half a surrogate pair in a string") from None
        except RecursionError:
            raise InvalidMessage("JSON that cannot be read: nested too deeply") from None
    elif first in _WORD_STARTS and (word := payload.rstrip(b" \t\r\n")) in _WORDS:
        return _WORDS[word]
    return payload.decode()


def _is_json(payload: bytes) -> bool:
    """Whether this is JSON for the standard library, which accepts half a surrogate pair."""
    try:
        json.loads(payload)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def json_decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    """Return msgspec's decoder of a type.

    Raises:
        TypeError: msgspec does not support the type, or an annotation in it names something that cannot be found.
    """
    try:
        return msgspec.json.Decoder(type_)
    except NameError as error:  # msgspec looks annotations up in their module
        raise TypeError(f"{error}: define the types of a message at the top of a module, not in a function") from None


def make_decoder(type_: Any) -> Callable[[bytes], object]:
    """Return a function that parses a JSON message and checks that it is a ``type_``.

    Args:
        type_: a msgspec Struct, dataclass, TypedDict or any other type that msgspec decodes; else a pydantic model or
            any other type that pydantic's ``TypeAdapter`` takes, where pydantic is installed.

    Returns:
        A function from a text message's payload to a ``type_``; it raises :exc:`InvalidMessage` with a reason that
        names the field.

    Raises:
        TypeError: neither can decode such a type.
    """
    try:
        decode = json_decoder(type_).decode
        if has_unknown_class(type_):  # msgspec makes a decoder, but it would refuse every message
            raise TypeError(UNKNOWN_CLASS)
    except TypeError:
        validate = make_validator(type_)
        if validate is None:
            raise
        return validate

    def decode_message(payload: bytes) -> object:
        try:
            return decode(payload)
        except msgspec.ValidationError as error:
            raise InvalidMessage(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidMessage(f"not JSON: {error}") from None
        except RecursionError:
            raise InvalidMessage("JSON that cannot be read: nested too deeply") from None

    return decode_message


UNKNOWN_CLASS: Final = "it is, or contains, a class whose fields are not declared"
"""Why a type cannot be decoded for which :func:`has_unknown_class` is true."""


def has_unknown_class(type_: Any) -> bool:
    """Whether a type, or a part of it, is a class that msgspec has no rules for."""
    return any(isinstance(part, msgspec.inspect.CustomType) for part in parts_of(type_))


def parts_of(type_: Any) -> Iterator[msgspec.inspect.Type]:
    """The types that a type consists of, itself included, as msgspec describes them."""
    waiting: list[Any] = [msgspec.inspect.type_info(type_)]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(getattr(part, name) for name in part.__struct_fields__)
            if isinstance(part, msgspec.inspect.Type):
                yield part
