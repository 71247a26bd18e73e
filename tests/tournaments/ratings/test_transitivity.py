"""Whether a pool is transitive: the test's size and power, what is no cycle, and what the sentence says."""

import numpy as np
import pytest

from games.keys import fold_one
from tests.tournaments.tables import games, play
from tournaments.ratings.davidson import PRIOR_SD, count, fit
from tournaments.ratings.transitivity import MATTERS, curl, score_table, transitivity
from tournaments.records.results import Result, Results

CYCLE = np.array([[0, -1.0, 1], [1, 0, -1], [-1, 1, 0]])


def drawn(log_odds, seeds, rng):
    """Draw a round robin without draws, in both seatings, by the log-odds of the row."""
    n = len(log_odds)
    seats = np.argwhere(~np.eye(n, dtype=bool))
    odds = log_odds[seats[:, 0], seats[:, 1]]
    won = 2.0 * (rng.random((seeds, len(seats))) < 1 / (1 + np.exp(-odds))).ravel() - 1
    return Results(
        agents=tuple(f"agent {k}" for k in range(n)),
        seats=np.tile(seats, (seeds, 1)),
        payoffs=np.stack([won, -won], 1),
        seeds=np.repeat(np.arange(seeds, dtype=np.uint64), len(seats)),
        terminations=np.full(len(won), "finished"),
    )


@pytest.mark.parametrize(("agents", "seeds", "together"), [(3, 12, 0.0), (4, 20, 0.7), (6, 12, -0.7)])
def test_it_rejects_one_transitive_pool_in_twenty(agents, seeds, together):
    """Trap: the χ² of the deviance takes the two games of a seed for independent. 0.02 is over 3 standard errors."""
    rng = np.random.default_rng(agents)
    found = [transitivity(play(agents, seeds, rng, together)[1], fold_one(1, k)).p for k in range(300)]
    assert (np.array(found) < 0.05).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 300))


def test_it_sees_a_cycle_that_matters():
    rng = np.random.default_rng(0)
    found = [transitivity(drawn(0.6 * CYCLE, 40, rng), k) for k in range(40)]
    assert np.mean([one.p < 0.05 for one in found]) > 0.9
    assert np.mean([one.misfit for one in found]) == pytest.approx(1 / (1 + np.exp(-0.6)) - 0.5, abs=0.02)
    assert found[0].misleading and "Elo is misleading here: agent " in found[0].sentence


def test_a_cycle_that_does_not_matter_is_no_warning():
    """Many games find any deviation from the model; Elo is still a good summary."""
    found = transitivity(drawn(0.1 * CYCLE, 2_000, np.random.default_rng(0)))
    assert found.p < 0.05 and found.misfit < MATTERS and not found.misleading
    assert found.sentence.startswith("One strength for each agent does not explain all results")


def test_all_seeds_alike_are_a_cycle_beyond_chance():
    bots = [Result(pair, paid, seed) for seed in range(12) for pair, paid in DECIDED]
    found = transitivity(Results.of(bots))
    assert found.p < 0.005 and found.misfit == pytest.approx(0.5) and found.curl == pytest.approx(1)
    assert found.cycle == ("paper", "rock", "scissors") and found.freedom == 1


DECIDED = [
    (table, (1.0, -1.0) if table[0] == winner else (-1.0, 1.0))
    for winner, loser in (("paper", "rock"), ("rock", "scissors"), ("scissors", "paper"))
    for table in ((winner, loser), (loser, winner))
]


def test_agents_in_one_order_are_in_no_cycle():
    """Trap: with a prior, ratings never predict that the best always wins, which is no cycle."""
    ordered = [Result(pair, (1.0, -1.0), seed) for seed in range(20) for pair in (("a", "b"), ("b", "c"), ("a", "c"))]
    found = transitivity(Results.of(ordered))
    assert found.p is None and found.misfit == 0 and "put the agents in one order" in found.sentence


def test_few_seeds_are_not_tested():
    found = transitivity(drawn(CYCLE, 9, np.random.default_rng(0)))
    assert found.p is None and not found.misleading and "fewer than 10 seeds" in found.sentence


def test_relabelled_agents_and_reordered_games_change_nothing():
    results = play(5, 15, np.random.default_rng(2))[1]
    order = np.random.default_rng(0).permutation(5)
    names = tuple(results.agents[k] for k in order)
    swapped = Results(
        agents=names,
        seats=np.argsort(order)[results.seats],
        payoffs=results.payoffs,
        seeds=results.seeds,
        terminations=results.terminations,
    )
    shuffled = swapped.where(np.random.default_rng(1).permutation(len(results)))
    one, other = transitivity(results), transitivity(shuffled)
    assert (one.p, one.freedom) == (other.p, other.freedom)
    assert one.misfit == pytest.approx(other.misfit, rel=1e-6) and one.curl == pytest.approx(other.curl)


def test_the_statistic_does_not_depend_on_the_prior_of_ratings():
    """Neyman's C(α): with many games its scores are those of the maximum of the likelihood, whose sum is 0 by agent."""
    results = play(4, 60, np.random.default_rng(3))[1]
    best, usual = fit(count(results), None), fit(count(results), PRIOR_SD)
    assert not np.allclose(best.theta, usual.theta, rtol=1e-4)
    score, played = score_table(results)
    d = best.probabilities(results.seats)
    expected = d[:, 0] + d[:, 1] / 2
    residual = np.zeros((4, 4))
    np.add.at(residual, tuple(results.seats.T), 1 - results.outcome / 2 - expected)
    assert (residual - residual.T).sum(1) == pytest.approx(np.zeros(4), abs=1e-6)
    assert played.sum() == 2 * len(results) and (score + score.T)[played > 0] == pytest.approx(1)


def test_the_curl_of_strengths_is_none_and_of_a_cycle_all():
    strengths = np.array([0.0, 1, 3])
    odds = strengths[:, None] - strengths
    many = np.full((3, 3), 1e9) * ~np.eye(3, dtype=bool)
    assert curl(1 / (1 + np.exp(-odds)), many) == pytest.approx(0, abs=1e-9)
    assert curl(1 / (1 + np.exp(-CYCLE)), many) == pytest.approx(1)
    assert curl(np.full((3, 3), 0.5), many) is None


def test_agents_that_do_not_explain_scores_but_stand_in_one_order():
    """a beats b and c by a little, and c always loses to b: no cycle, and no strengths."""
    table = {"ab": (6, 0, 4), "ba": (4, 0, 6), "ac": (6, 0, 4), "ca": (4, 0, 6), "bc": (9, 0, 1), "cb": (1, 0, 9)}
    results = Results.of([result for k in range(20) for result in games(table, 10 * k)])
    found = transitivity(results)
    assert found.misleading and found.cycle == () and "no three agents beat each other" in found.sentence
