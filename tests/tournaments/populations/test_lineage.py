"""Copies as JSON, and the schedule by which a learner came to be."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl.base.intervals import Estimate
from tournaments.populations.pbt.lineage import Copy, Phase, schedule

READY = 100
FIRST = {name: {"rate": rate} for name, rate in {"a": 1.0, "b": 2.0, "c": 3.0}.items()}


def copy(round, child, parent, after):
    fitness = [Estimate(mean, 0.1) for mean in (0.0, 1.0, 1.0)]
    return Copy(round, child, parent, "0" * 64, {"rate": 0.0}, {"rate": after}, *fitness)


def test_a_copy_is_the_same_after_json():
    one = copy(3, "a", "b", 2.4)
    assert Copy.from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(TypeError):
        Copy.from_json(one.to_json() | {"more": 1})


def test_a_member_that_never_copied_has_its_first_settings():
    assert schedule("a", FIRST, [copy(1, "b", "a", 1.2)], READY, 300) == [Phase(0, 300, "a", {"rate": 1.0})]


def test_the_schedule_goes_back_through_all_copies():
    """c copies b in round 4, which copied a in round 2; what c did before that, and b after it, are lost."""
    copies = [copy(1, "a", "c", 5.0), copy(2, "b", "a", 6.0), copy(4, "c", "b", 7.0), copy(5, "b", "a", 8.0)]
    lost = [copy(1, "b", "a", 9.0), copy(3, "c", "a", 9.0)]
    assert schedule("c", FIRST, lost + copies, READY, 650) == [
        Phase(0, 100, "c", {"rate": 3.0}),
        Phase(100, 200, "a", {"rate": 5.0}),
        Phase(200, 400, "b", {"rate": 6.0}),
        Phase(400, 650, "c", {"rate": 7.0}),
    ]


def test_two_copies_of_a_round_are_of_what_was_before_it():
    """In round 1 b copies a, and c copies b: c goes on with what b was before."""
    copies = [copy(1, "b", "a", 5.0), copy(1, "c", "b", 6.0)]
    assert [phase.member for phase in schedule("c", FIRST, copies, READY, 200)] == ["b", "c"]
    assert schedule("c", FIRST, copies, READY, 200)[0].settings == {"rate": 2.0}


def test_a_copy_at_the_last_step_trains_nothing():
    assert schedule("b", FIRST, [copy(2, "b", "a", 5.0)], READY, 200) == [Phase(0, 200, "b", {"rate": 2.0})]
    assert len(schedule("b", FIRST, [copy(2, "b", "a", 5.0)], READY, 201)) == 2


@given(st.data(), st.integers(1, 1000))
def test_phases_join_without_a_gap_and_each_is_of_a_settings_owner(data, end):
    pairs = st.permutations(sorted(FIRST)).map(lambda order: order[:2])
    rounds = data.draw(st.lists(st.tuples(st.integers(1, 9), pairs), unique_by=lambda one: (one[0], one[1][0])))
    copies = [copy(number, child, parent, 10.0 + k) for k, (number, (child, parent)) in enumerate(rounds)]
    phases = schedule("a", FIRST, copies, READY, end)
    assert phases[0].begin == 0 and phases[-1].end == end and phases[-1].member == "a"
    assert all(one.end == other.begin for one, other in pairwise(phases))
    assert all(phase.begin < phase.end for phase in phases)
    assert phases == schedule("a", FIRST, copies[::-1], READY, end)
    later = [replace(each, round=each.round + 20) for each in copies]
    assert schedule("a", FIRST, [*copies, *later], READY, end) == phases
