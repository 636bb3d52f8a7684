"""The model that plans: it agrees with arithmetic, with itself played through, and with what was measured."""

from __future__ import annotations

import math
import statistics

import pytest

from benchmarks import planning
from benchmarks.planning import Costs, costs, needed, plan, processes_reached, simulate

COST = Costs(deliver=2e-6, send=60e-6, receive=40e-6, broker_in=5e-6, broker_out=3e-6, memory=2500)
"""Round numbers, so that what is tested is the model and not the last measurement."""


def test_how_many_processes_a_message_reaches() -> None:
    assert processes_reached(1, 50) == pytest.approx(1)
    assert processes_reached(2, 2) == pytest.approx(1.5)
    assert processes_reached(10_000, 5) == pytest.approx(5)
    assert processes_reached(100, 10**6) == pytest.approx(100, rel=0.001)


def test_one_process_needs_no_broker() -> None:
    found = plan(1000, 10, 1.0, 1, COST)
    assert (found.broker_in, found.broker_out, found.broker) == (0, 0, 0)
    assert found.core == pytest.approx(10 * (60e-6 + 100 * 2e-6))
    run = simulate([100] * 10, 1.0, 1, COST, messages=50, seed=1)
    assert (run.deliveries, run.broker_out, run.broker) == (5000, 0, 0)


def test_two_processes_by_hand() -> None:
    """One room of 1,000, half of it in each."""
    run = simulate([1000], 1.0, 2, COST, messages=100, seed=1, evenly=True, interval=math.inf)
    assert run.deliveries == 100 * 1000
    assert run.broker_out == 100 * 2
    assert run.seconds == pytest.approx(100 * (60e-6 + 40e-6 + 1000 * 2e-6 + 5e-6 + 2 * 3e-6))


def test_signs_of_life_by_hand() -> None:
    """Ten processes, every 5 s: each tells ten, and through a room of four members some 3.4."""
    found = plan(4, 1, 0.0, 10, COST, interval=5.0)
    reached = 10 * (1 - 0.9**4)
    assert found.beats == pytest.approx(10 * (10 + reached) / 5)
    assert found.broker == pytest.approx(10 * 2 / 5 * 5e-6 + found.beats * 3e-6)
    assert found.core == pytest.approx((10 * 2 / 5 + found.beats) * 40e-6 / 10)
    assert plan(4, 1, 0.0, 1, COST).beats == 0


def test_signs_of_life_grow_with_the_square() -> None:
    few, many = (plan(10**6, 10**4, 0.0, processes, COST) for processes in (100, 1000))
    assert 50 < many.beats / few.beats < 150
    run = simulate([4] * 400, 0.5, 100, COST, messages=2000, seed=1)
    silent = simulate([4] * 400, 0.5, 100, COST, messages=2000, seed=1, interval=math.inf)
    assert run.broker - silent.broker == pytest.approx(
        plan(1600, 400, 0.5, 100, COST).broker - plan(1600, 400, 0.5, 100, COST, interval=math.inf).broker, rel=0.1
    )


def test_the_fastest_run_was_met_without_loss() -> None:
    for each in planning.measured()["losses"]:
        assert planning.fastest(each["kind"]) >= 0.99 * each["rate"]


@pytest.mark.parametrize("processes", [2, 5, 10, 20, 50, 100, 200])
@pytest.mark.parametrize("members", [4, 100])
def test_the_simulation_agrees_with_the_formula(processes: int, members: int) -> None:
    rooms, messages = 400, 2000
    computed = plan(members * rooms, rooms, 0.5, processes, COST)
    run = simulate([members] * rooms, 0.5, processes, COST, messages=messages, seed=processes)
    assert run.deliveries == messages * members
    assert run.broker_out / messages == pytest.approx(computed.reached, rel=0.02)
    # The time that the messages took comes by chance: five standard deviations of a Poisson count.
    assert run.core == pytest.approx(computed.core, rel=0.02 + 5 / messages**0.5)
    assert run.broker == pytest.approx(computed.broker, rel=0.02 + 5 / messages**0.5)
    assert run.busiest >= run.core


def test_the_same_seed_plays_the_same() -> None:
    first, again, other = (simulate([50] * 20, 5.0, 8, COST, messages=300, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_messages_wait_where_there_is_more_to_do() -> None:
    calm, busy = (simulate([100] * 100, rate, 4, COST, messages=2000, seed=3) for rate in (1.0, 80.0))
    assert busy.core > 0.5
    assert busy.p99 > 2 * calm.p99
    assert calm.p50 >= COST.send + COST.broker_in + COST.receive


def test_what_is_needed_is_the_least_that_fits() -> None:
    found = needed(1_000_000, 10_000, 2.0, COST)
    assert found is not None
    assert found.processes > 16
    assert found.core <= planning.USED
    assert plan(1_000_000, 10_000, 2.0, found.processes - 1, COST).core > planning.USED
    idle = needed(1_000_000, 10_000, 0.0, COST)
    assert idle is not None
    assert idle.processes == 16, "a million connections, 65,536 in each at most"


def test_the_model_fits_the_measured_case_of_two_processes() -> None:
    """The constants come from rooms of 20 and of 400; this is a room of 1,000."""
    simulated, measured = planning.check()
    assert 1 / 1.5 < simulated / measured < 1.5


def test_the_constants_are_costs() -> None:
    found = costs()
    assert 0 < found.deliver < found.send
    assert found.receive > 0
    assert found.broker_in >= 0
    assert found.broker_out >= 0
    assert 500 < found.memory < 20_000


def test_the_target_is_met() -> None:
    """Five times the deliveries per CPU second of the best Python peer, and nothing lost, in what the page shows."""
    found = planning.measured()
    for load in ("fan", "single"):
        medians = {name: statistics.median(fan["cost"]) for name, fan in found[load].items()}
        peers = [cost for name, cost in medians.items() if "socketio" in name or "Channels" in name]
        assert peers
        for name in ("odac, local://", "odac, redis://", "odac, nats://"):
            assert min(peers) / medians[name] >= 5, (load, name)
    assert found["losses"]
    assert not any(each["lost"] or each["disorder"] for each in found["losses"])


def test_the_page_is_what_the_constants_give() -> None:
    assert (planning.DOCS / "planning.md").read_text() == planning.page(), (
        "python -m benchmarks.planning --write writes it"
    )
