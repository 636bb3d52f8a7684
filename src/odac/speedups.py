"""The functions that ``_speedups.c`` replaces; the functions below put the compiled ones in their places.

Each replaced function has a reference in Python with the same results, which is used where the C file was not compiled,
and everywhere with ``ODAC_SPEEDUPS=0``. The same tests run over both.

====================================  ==================================================================================
compiled                              its reference, and what points here
====================================  ==================================================================================
``apply_mask``                        the function of websockets that :mod:`odac.wire.mask` uses otherwise
``whole_text``                        ``reference_whole_text`` of :mod:`odac.wire.parser`
``usual_request``                     ``reference_usual_request`` of :mod:`odac.wire.request`
``usual_response``                    ``reference_usual_response`` of :mod:`odac.wire.handshake`
``usual_offer``                       ``reference_usual_offer`` of :mod:`odac.wire.handshake`
``usual_cookies``                     ``add_cookies`` of :mod:`odac.request`
``base64url``, ``from_base64url``     ``reference_base64url``, ``reference_from_base64url`` of
                                      :mod:`odac.security.base64url`
``encode``                            ``reference_encode`` of :mod:`odac.protocol.codec`
``write``, ``write_to_all``           ``reference_write``, ``reference_write_to_all`` of :mod:`odac.realtime.writing`
``RateMeter``                         :class:`odac.realtime.rate.RateMeter`
``track``, ``untrack``                ``reference_track`` of :mod:`odac.lanes.collector`
``put``                               the method of :class:`odac.realtime.outbox.Outbox`
``data_received``                     the method of :class:`odac.lanes.direct.DirectLane`
====================================  ==================================================================================
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["COMPILED", "compiled", "compiled_encode", "compiled_meter", "compiled_put", "compiled_receive"]

_c: Any = None
if os.environ.get("ODAC_SPEEDUPS") != "0":
    try:
        from odac import _speedups as _c  # type: ignore[attr-defined,no-redef,unused-ignore]
    except ModuleNotFoundError:
        pass  # not compiled here: the references do the same, more slowly
    except ImportError as error:  # compiled for another Python, or in use by another interpreter of this process
        if "_speedups" not in str(error) or "cannot import name" not in str(error):
            logging.getLogger("odac").warning("%s", error)

# A free-threaded build turns the GIL on when it imports the module, unless it is told not to (PYTHON_GIL=0, -X gil=0).
if _c is not None and not getattr(sys, "_is_gil_enabled", lambda: True)():
    logging.getLogger("odac").warning(
        "the compiled part needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps off: pure Python is used instead"
    )
    _c = None

COMPILED: Final = _c is not None
"""Whether the compiled functions are in use; ``ODAC_SPEEDUPS=0`` turns them off."""

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def compiled(name: str, reference: F) -> F:
    """The compiled function of this name, or the reference.

    Args:
        name: in ``_speedups.c``.
        reference: does the same.

    Raises:
        ImportError: the compiled file is older than the Python files.
    """
    if not COMPILED:
        return reference
    found: F | None = getattr(_c, name, None)
    if found is None:
        raise ImportError(
            "odac's compiled part is older than its Python files: install Odac again (in a checkout, pip install"
            " --editable .), or set ODAC_SPEEDUPS=0"
        )
    return found


def compiled_encode(reference: F, prepared: type, encode_json: Callable[[object], bytes], text: int, binary: int) -> F:
    """The compiled ``encode``, or the reference.

    Args:
        reference: handles everything that the compiled function does not.
        prepared: the class of the result, whose slots the compiled function fills.
        encode_json: the encoder.
        text: the opcode of a text message.
        binary: the opcode of a binary message.
    """
    if COMPILED:
        _c.bind_encode(prepared, encode_json, reference, text, binary)
    return compiled("encode", reference)


def compiled_meter(reference: F, monotonic: Callable[[], float]) -> F:
    """The compiled ``RateMeter``, or the reference.

    Args:
        reference: makes a meter from a limit, its number of messages, its window in seconds, and a byte meter or None.
        monotonic: the clock; in place of :func:`time.monotonic` itself, the compiled meter reads the kernel's coarse
            one (on Linux).
    """
    if COMPILED:
        _c.bind_clock(monotonic)
    return compiled("RateMeter", reference)


def compiled_put(flush_bytes: int) -> Callable[[C], C]:
    """Decorate the outbox: its ``put`` becomes the compiled method, ``reference_put`` is its own.

    Args:
        flush_bytes: more pending bytes than this are written at once.
    """

    def replace(outbox: C) -> C:
        reference = outbox.put  # type: ignore[attr-defined]
        outbox.reference_put = reference  # type: ignore[attr-defined]
        if COMPILED:
            outbox.put = _c.bind_put(outbox, reference, flush_bytes)  # type: ignore[attr-defined]
        return outbox

    return replace


def compiled_receive(*types: type, **values: object) -> Callable[[C], C]:
    """Decorate a lane: its ``data_received`` becomes the compiled method, ``reference_data_received`` is its own.

    Args:
        types: the classes whose slots the compiled method reads, by their names.
        values: further objects that it uses; see ``bind_receive`` in the C file.
    """

    def replace(lane: C) -> C:
        reference = lane.data_received  # type: ignore[attr-defined]
        lane.reference_data_received = reference  # type: ignore[attr-defined]
        if COMPILED:
            reference = lane.receive  # type: ignore[attr-defined]
            named = {slot_type.__name__: slot_type for slot_type in types} | {lane.__name__: lane}
            lane.data_received = _c.bind_receive(reference, named, values)  # type: ignore[attr-defined]
        return lane

    return replace
