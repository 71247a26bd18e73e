"""Truncation selection: who meets whom, and who copies; members that do not differ copy no more than chance."""

import numpy as np
import pytest

from marl.base.intervals import MIN_SEEDS, quantile
from tournaments.populations.pbt.selection import ALPHA, fitness, meetings

SEEDS = np.arange(32)
LUCK = np.sin(SEEDS * 1.7)  # of a seed, which all members share


def returns(*skills, own=0.1):
    """Return returns [n, 32] of members by skill, on seeds that are easy or hard for all, and a spread."""
    spread = np.cos(np.outer(np.arange(1, len(skills) + 1), SEEDS))
    return np.array(skills)[:, None] + 3 * LUCK + own * spread


@pytest.mark.parametrize(("n", "fifth"), [(5, 1), (8, 2), (10, 2), (11, 3), (15, 3), (16, 4), (25, 5)])
def test_the_lowest_fifth_meets_the_highest(n, fifth):
    skill = (np.arange(n) * 7) % n if n % 7 else np.arange(n)
    found = meetings(returns(*skill), key=1)
    order = np.argsort(skill).tolist()
    assert [meeting.child for meeting in found] == order[:fifth]
    assert {meeting.parent for meeting in found} <= set(order[-fifth:])
    assert all(meeting.copies for meeting in found)


def test_who_diverged_copies_whatever_it_earned_and_is_copied_by_nobody():
    """The two best have diverged: they, and not the lowest fifth, meet the best of the others."""
    found = meetings(returns(*range(8)), key=1, diverged={6, 7})
    assert [(met.child, met.diverged, met.copies) for met in found] == [(6, True, True), (7, True, True)]
    assert {met.parent for met in found} <= {4, 5}
    found = meetings(returns(*range(5)), key=1, diverged={0, 2, 4})
    assert [met.child for met in found] == [0, 2, 4] and {met.parent for met in found} == {3}
    with pytest.raises(ValueError, match="expected a member that did not diverge"):
        meetings(returns(*range(5)), key=1, diverged=set(range(5)))


def test_parents_are_drawn_by_key():
    drawn = [[meeting.parent for meeting in meetings(returns(*range(10)), key)] for key in range(300)]
    assert drawn[7] == [meeting.parent for meeting in meetings(returns(*range(10)), 7)]
    for column in np.array(drawn).T:
        parents, counts = np.unique(column, return_counts=True)
        assert parents.tolist() == [8, 9] and counts.min() > 120


def test_differences_are_paired_by_seed():
    """What all members gain on an easy seed hides no difference: unpaired, ±3 · 0.7 would hide 0.5."""
    (one, _) = meetings(returns(0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.5, 0.5), key=0)
    assert one.child == 0 and one.copies and one.difference.mean == pytest.approx(0.5, abs=0.05)
    assert one.difference.interval < 0.2


def test_the_interval_is_of_as_many_pairs_as_there_are():
    """Of five members 10 pairs could be the furthest apart: t(1 − 0.05 / 20, 31) standard errors."""
    paid = returns(0, 1, 2, 3, 4)
    (met,) = meetings(paid, key=0)
    gained = paid[4] - paid[0]
    error = gained.std(ddof=1) / np.sqrt(32)
    assert met.difference.mean == pytest.approx(gained.mean())
    assert met.difference.interval == pytest.approx(float(quantile(32, ALPHA / 10)) * error)
    assert float(quantile(32, ALPHA / 10)) == pytest.approx(3.0221, abs=1e-3)


def test_fitness_has_its_interval():
    """The mean of 10 ones and 10 zeros: ½ ± t(0.975, 19) · √(5 / 19 / 20)."""
    (found,) = fitness(np.array([[0.0, 1.0] * 10]))
    assert found.mean == 0.5 and found.interval == pytest.approx(2.09302 * np.sqrt(5 / 19 / 20), rel=1e-5)


def test_equal_members_do_not_copy_and_rank_in_their_order():
    found = meetings(np.tile(LUCK, (40, 1)), key=3)
    assert [meeting.child for meeting in found] == list(range(8)) and not any(meeting.copies for meeting in found)


def payoffs(kind, rng, shape):
    """Draw payoffs of one game of members that do not differ."""
    if kind == "normal":
        return rng.normal(size=shape)
    if kind == "with luck":
        return rng.normal(size=(shape[0], 1, shape[2])) + 0.3 * rng.normal(size=shape)
    return rng.choice([-1.0, 0.0, 1.0], size=shape, p={"even": [0.45, 0.1, 0.45], "winning": [0.1, 0.0, 0.9]}[kind])


@pytest.mark.parametrize("kind", ["normal", "with luck", "even", "winning"])
@pytest.mark.parametrize("seeds", [16, 128])
def test_members_that_do_not_differ_copy_no_more_than_chance(kind, seeds):
    """Trap: eight identical members, 20 rounds, 40 populations: copies ≤ α of the chances. Without a test all copy."""
    drawn = payoffs(kind, np.random.default_rng(0), (800, 8, seeds))
    copies = sum(meeting.copies for key, round in enumerate(drawn) for meeting in meetings(round, key))
    assert copies <= ALPHA * 2 * 800


def test_a_real_difference_is_found():
    rng = np.random.default_rng(0)
    skill = np.array([-1.0, 0, 0, 0, 0, 0, 0, 0])[:, None]
    found = [meetings(skill + rng.normal(size=(8, 128)), key)[0] for key in range(50)]
    assert all(meeting.child == 0 and meeting.copies for meeting in found)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 32)), np.zeros((8, MIN_SEEDS - 1)), np.full((8, 32), np.nan)], ids=["alone", "seeds", "nan"]
)
def test_returns_that_say_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="expected finite returns of 2 members"):
        meetings(wrong, key=0)
