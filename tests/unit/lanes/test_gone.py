from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from odac.lanes.gone import GONE
from odac.wire.frames import TEXT, encode_masked_frame
from tests.unit.lanes.test_direct import Site


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which would hide what refers to each other."""
    gc.disable()
    yield
    gc.enable()


def test_it_takes_nothing_and_is_closing() -> None:
    assert GONE.is_closing()
    assert GONE.get_write_buffer_size() == 0
    assert not GONE.can_write_eof()
    assert GONE.get_extra_info("socket") is None
    GONE.write(b"x")
    GONE.close()
    GONE.abort()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.usefixtures("uncollected")
def test_a_lane_keeps_its_transport_no_longer_than_that_lasts(tls: bool) -> None:
    site = Site(tls=tls)
    site.lane.pause_reading()
    site.lane.resume_reading()
    site.close()
    transport = ref(site.transport)
    site.lane.connection_lost(None)
    site.transport.protocol = None
    del site.transport
    assert transport() is None


@pytest.mark.parametrize("tls", [False, True])
def test_a_lane_whose_transport_is_gone_can_still_be_called(tls: bool) -> None:
    site = Site(tls=tls)
    site.lane.connection_lost(None)
    site.close()
    lane = site.lane
    lane.write([])
    lane.write_rest(memoryview(b"rest"))
    lane.pause_reading()
    lane.resume_reading()
    assert lane.buffered == 0
    lane.cut(1011, "")
    lane.abort()
    lane.data_received(encode_masked_frame(TEXT, b"late", b"abcd"))
    site.connection.send("late")
    site.connection.close()
    lane.shutdown()
    assert lane.fd == -1
