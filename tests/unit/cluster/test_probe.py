from __future__ import annotations

from odac.cluster.probe import Probe


def test_nothing_is_proven_until_every_probe_has_come_back() -> None:
    probe = Probe(("control", "everyone"), 0.0)
    probe.sent("control", b"1", 0)
    probe.sent("room", b"1", 0)
    assert probe.returned("control", b"1", 7.0)
    assert not probe.proven
    assert probe.returned("room", b"1", 7.0)
    assert probe.proven


def test_only_the_probe_sent_last_counts() -> None:
    probe = Probe(("control", "everyone"), 0.0)
    probe.sent("control", b"1", 0)
    probe.sent("control", b"2", 1)
    assert not probe.returned("control", b"1", 7.0)
    assert not probe.returned("elsewhere", b"2", 7.0)
    assert probe.returned("control", b"2", 7.0)


def test_a_probe_is_overdue_by_its_age() -> None:
    probe = Probe(("control", "everyone"), 0.0)
    probe.sent("control", b"1", 10)
    assert probe.overdue(10) is None
    assert probe.overdue(10.1) == "control"


def test_a_channel_that_is_left_is_waited_for_no_longer() -> None:
    probe = Probe(("control", "everyone"), 0.0)
    probe.sent("room", b"1", 0)
    probe.forget("room")
    assert probe.overdue(100) is None


def test_a_new_connection_proves_itself_anew() -> None:
    probe = Probe(("control", "everyone"), 0.0)
    probe.sent("control", b"1", 0)
    probe.returned("control", b"1", 7.0)
    probe.sent("control", b"2", 5)
    probe.reset()
    assert not probe.proven
    assert probe.overdue(100) is None


def test_both_common_channels_must_be_proven() -> None:
    probe = Probe(("control", "everyone"), 1.0)
    for channel, now in (("control", 5.0), ("room", 6.0), ("everyone", 4.0)):
        probe.sent(channel, b"1", 0)
        probe.returned(channel, b"1", now)
    assert probe.proven_at == 4.0
