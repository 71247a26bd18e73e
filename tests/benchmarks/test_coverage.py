"""A small version of the coverage benchmark, with fixed keys."""

import numpy as np
import pytest

from tests.benchmarks.coverage import KINDS, draw, measure, table, truth
from tournaments.ratings.elo import rate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_intervals_hold_the_truth_whatever_a_seeds_games_share(kind):
    row = measure(kind, agents=8, seeds=40, pools=80)
    assert 0.92 <= row.coverage <= 0.975 and row.false_superiority <= 0.09


@pytest.mark.parametrize("players", [3, 4])
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3]], ids=lambda kind: kind.name)
def test_intervals_of_games_of_more_than_two_players(kind, players):
    row = measure(kind, agents=5, seeds=40, pools=40, players=players)
    assert 0.91 <= row.coverage <= 0.98


@pytest.mark.parametrize("agents, seeds", [(2, 3), (8, 2), (8, 5), (20, 4)])
def test_few_seeds_are_never_too_sure(agents, seeds):
    row = measure(KINDS[-1], agents, seeds, pools=40)
    assert row.coverage >= 0.93 and row.false_superiority <= 0.08


def test_the_truth_is_what_many_seeds_tend_to():
    for kind in (KINDS[1], KINDS[3]):
        rated = rate(draw(kind, 4, 4000, [1]))
        place = np.argsort(rated.agents)
        found = (rated.elo[:, None] - rated.elo[None, :])[np.ix_(place, place)]
        np.testing.assert_allclose(found, truth(kind, 4), atol=15)


def test_the_table():
    lines = list(table(measure(kind, 2, 5, 2) for kind in KINDS[:1]))
    assert lines[2].startswith("| independent | 2 | 2 | 5 | ") and all(line.count("|") == 8 for line in lines)
