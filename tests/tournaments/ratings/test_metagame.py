"""The meta-game: known answers, duplicates, and intervals from seeds."""

import json

import numpy as np
import pytest

from tests.marl.equilibria.known import BIASED, PRISONERS, ROCK_PAPER_SCISSORS, TRANSITIVE, TWO_ROCKS
from tests.tournaments.ratings.test_transitivity import CYCLE, drawn
from tournaments.ratings.by_seed import BySeed
from tournaments.ratings.matchups import matchups
from tournaments.ratings.metagame import incomplete, metagame, solve
from tournaments.records.results import Result, Results

# Agents against agents of Balduzzi et al. 2018, as in OpenSpiel's test: the fourth beats all others.
AVA = np.array([[0.0, 234, 34, -270], [-234, 0, -38, -464], [-34, 38, 0, -270], [270, 464, 270, 0]])


@pytest.mark.parametrize(
    ("payoff", "weights", "ratings", "shares"),
    [
        (ROCK_PAPER_SCISSORS, [1 / 3] * 3, [0] * 3, [1 / 3] * 3),
        (TWO_ROCKS, [1 / 6, 1 / 6, 1 / 3, 1 / 3], [0] * 4, [0.2, 0.2, 0.4, 0.2]),
        (BIASED, [0.0625, 0.625, 0.3125], [0] * 3, [1 / 3] * 3),
        (TRANSITIVE, [0, 0, 1], [-1, -1, 0], [0, 0, 1]),
        (AVA, [0, 0, 0, 1], [-270, -464, -270, 0], [0, 0, 0, 1]),
    ],
    ids=["rock paper scissors", "two rocks", "weighted", "transitive", "agents against agents"],
)
def test_known_answers(payoff, weights, ratings, shares):
    found = solve(payoff, zero_sum=True)
    assert found.nash == pytest.approx(weights, abs=1e-6)
    assert found.rating == pytest.approx(ratings, abs=1e-6 * np.ptp(payoff))
    assert found.alpha_rank == pytest.approx(shares, abs=1e-5)


def test_a_general_sum_game_has_ranks_and_no_nash_averaging():
    found = solve(PRISONERS, zero_sum=False)
    assert found.alpha_rank == pytest.approx([0, 1], abs=1e-6)
    assert np.isnan(found.nash).all() and np.isnan(found.rating).all()


def game_of(results, order=None, zero_sum=True):
    table = matchups(results)
    return metagame(table, BySeed.of(results), results.agents, order or results.agents, zero_sum)


def bots(seeds=12):
    """Two rocks, paper and scissors, in both seatings of every seed."""
    names = ("rock", "rock again", "paper", "scissors")
    return Results.of(
        [
            Result((names[i], names[j]), (TWO_ROCKS[i, j], -TWO_ROCKS[i, j]), seed)
            for seed in range(seeds)
            for i in range(4)
            for j in range(4)
            if i != j
        ]
    )


def test_a_pool_of_bots_with_a_duplicate():
    found = game_of(bots(), ("rock", "rock again", "paper", "scissors"))
    assert found.payoff.tolist() == TWO_ROCKS.tolist()
    assert found.solved.nash == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert found.solved.alpha_rank == pytest.approx([0.2, 0.2, 0.4, 0.2], abs=1e-5)
    assert found.best_responses == [["paper"], ["paper"], ["scissors"], ["rock", "rock again"]]
    assert found.gain.tolist() == [1, 1, 1, 1]
    low, high = found.interval  # all seeds are alike
    assert low.nash == pytest.approx(found.solved.nash) and high.alpha_rank == pytest.approx(found.solved.alpha_rank)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["agents"][0]["nash"] == pytest.approx(1 / 6, abs=1e-5)
    assert data["agents"][0]["best_responses"] == ["paper"]


def test_intervals_hold_the_mass_of_a_noisy_cycle():
    """All masses are 1/3 in truth; the solutions of the pool that was measured are not."""
    found = game_of(drawn(0.8 * CYCLE, 30, np.random.default_rng(0)))
    low, high = found.interval
    assert np.all((low.nash <= 1 / 3) & (high.nash >= 1 / 3)) and np.all(low.nash < high.nash)
    assert np.all(low.rating <= found.solved.rating + 1e-9)


def test_few_seeds_have_no_intervals():
    assert game_of(bots(9)).interval is None
    assert game_of(bots(9)).to_json()["agents"][0]["nash_interval"] is None


def test_a_pool_with_gaps_has_no_meta_game():
    two = Results.of([Result(pair, (1.0, -1.0), 0) for pair in (("a", "b"), ("c", "d"))])
    assert "Pairings without a known payoff: 4; a round robin" in incomplete(matchups(two), zero_sum=True)
    assert incomplete(matchups(bots()), zero_sum=True) is None
    assert "payoff: 4;" in incomplete(matchups(bots()), zero_sum=False)  # nobody has played itself


def test_resampled_payoffs_are_those_of_the_drawn_seeds():
    results = Results.of([Result(("a", "b"), (float(seed), -float(seed)), seed) for seed in range(4)])
    by_seed = BySeed.of(results)
    assert by_seed.payoff[0, 1] == 1.5 and np.isnan(by_seed.payoff[0, 0])
    drawn_ = np.array([*by_seed.resampled(key=1, resamples=500)])
    assert set(np.unique(drawn_[:, 0, 1] * 4)) <= set(range(13))
    assert drawn_[:, 0, 1].mean() == pytest.approx(1.5, abs=0.1)
    np.testing.assert_allclose(drawn_[:, 0, 1], -drawn_[:, 1, 0])


def test_tables_are_resampled_some_at_a_time(monkeypatch):
    """However many are made together: their number squared by agents, times resamples, may not fit into memory."""
    whole = [*BySeed.of(bots(12)).resampled(key=1, resamples=7)]
    monkeypatch.setattr("tournaments.ratings.by_seed._TOGETHER", 3 * whole[0].size)
    np.testing.assert_allclose([*BySeed.of(bots(12)).resampled(key=1, resamples=7)], whole)


def test_a_pair_that_met_on_no_drawn_seed_keeps_its_mean():
    some = [Result(("a", "b"), (1.0, -1.0), seed) for seed in range(9)] + [Result(("a", "c"), (3.0, -3.0), 9)]
    found = BySeed.of(Results.of(some)).resampled(key=1)
    assert all(table[0, 2] == 3 for table in found)
