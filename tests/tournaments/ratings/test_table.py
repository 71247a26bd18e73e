"""The payoff table by seat: games by hand, seats that are never mixed, gaps left open, stores that are grown."""

import math
from itertools import product

import numpy as np
import pytest

from games.errors import UserError
from games.registry import make
from tournaments.ratings.matchups import matchups
from tournaments.ratings.table import Reader, Table, table
from tournaments.records.fixture import Fixture
from tournaments.records.played import Failure, PlayedGame
from tournaments.records.store import Store
from tournaments.reports.summary import summarize
from tournaments.schedules.round_robin import cell

NAN = math.nan
ZERO_SUM = make("openspiel:tic_tac_toe", 1).spec
GENERAL = make("openspiel:matrix_pd", 1).spec


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "games.sqlite", create=True) as made:
        named(made, ZERO_SUM)
        yield made


def named(store, spec):
    store.set("spec", spec.to_json())
    store.set("game", spec.name)


def game(agents, payoffs, seed=0, termination="finished", offender=None):
    failures = () if offender is None else (Failure(offender, termination, "raised", 0),)
    return PlayedGame(Fixture("g", tuple(agents), seed), tuple(payoffs), termination, 1, failures=failures)


def test_by_hand(store):
    """A in seat 0 against B: 3 and 0; B in seat 0 against A: 2; A with itself: 4 and 6 in seat 0."""
    store.add(
        [
            game("AB", (3.0, -3.0), seed=1),
            game("AB", (0.0, 0.0), seed=2),
            game("BA", (2.0, -2.0), seed=1),
            game("AA", (4.0, -4.0), seed=1),
            game("AA", (6.0, -6.0), seed=2),
        ]
    )
    found = table(store, ["A", "B", "C"])
    assert found.agents == ("A", "B", "C")
    np.testing.assert_array_equal(
        found.payoff,
        [[[5, 1.5, NAN], [2, NAN, NAN], [NAN] * 3], [[-5, -2, NAN], [-1.5, NAN, NAN], [NAN] * 3]],
    )
    assert found.games.tolist() == [[[2, 2, 0], [1, 0, 0], [0] * 3], [[2, 1, 0], [2, 0, 0], [0] * 3]]
    # SE² = 2/1 · Σ (deviation / 2)²: 2 · (1/4 + 1/4) = 1 of A with itself, 2 · 2 · (3/4)² of A against B.
    np.testing.assert_allclose(found.error[0], [[1, 1.5, NAN], [NAN, NAN, NAN], [NAN] * 3])
    np.testing.assert_allclose(found.error[1], [[1, NAN, NAN], [1.5, NAN, NAN], [NAN] * 3])
    # One whole pair of A and B, on seed 1: each won in the first seat.
    np.testing.assert_array_equal(found.score, [[0.5, 0.5, NAN], [0.5, NAN, NAN], [NAN] * 3])
    assert found.pairs.tolist() == [[2, 1, 0], [1, 0, 0], [0] * 3]


def test_forfeits_are_counted_by_seat(store):
    """A forfeits against B in seat 0, and twice in seat 1; B once in seat 1, and C never."""
    store.add(
        [
            game("AB", (0.0, 0.0), 1, "illegal_action", offender=0),
            game("BA", (0.0, 0.0), 1, "timeout", offender=1),
            game("BA", (0.0, 0.0), 2, "agent_error", offender=1),
            game("AB", (0.0, 0.0), 2, "agent_error", offender=1),
            game("CA", (1.0, -1.0), 1),
        ]
    )
    found = table(store, ["A", "B", "C"])
    assert found.forfeits.tolist() == [[[0, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 2, 0], [1, 0, 0], [0, 0, 0]]]
    assert (found.forfeits <= found.games).all()


def test_cells_that_played_the_same_seeds_are_not_independent(store):
    """A and B are paid the same on each seed, whoever sits in the second seat: their mean is known no better."""
    luck = np.random.default_rng(0).normal(size=20)
    store.add([game(pair, (x, -x), seed) for pair in product("AB", repeat=2) for seed, x in enumerate(luck.tolist())])
    found, weights = table(store, "AB"), np.zeros((2, 2, 2))
    weights[0] = 1 / 4
    alone = found.error[0, 0, 1]
    assert found.error_of(weights) == pytest.approx(alone) == pytest.approx(np.std(luck, ddof=1) / 20**0.5)
    weights[0] = [[0, 0], [0.5, -0.5]]
    assert found.error_of(weights) == pytest.approx(0, abs=1e-12)
    assert math.isnan(found.error_of(np.zeros((2, 2, 2))))


def test_the_error_of_one_cell_is_that_of_the_table(store):
    rng = np.random.default_rng(1)
    store.add([game(pair, (x, -x), seed) for pair in ("AB", "BA") for seed in range(9) for x in [float(rng.normal())]])
    found = table(store, "AB")
    for place in np.argwhere(np.isfinite(found.error)).tolist():
        weights = np.zeros((2, 2, 2))
        weights[tuple(place)] = 1
        assert found.error_of(weights) == pytest.approx(found.error[tuple(place)])


def test_a_reader_reads_what_was_added(store):
    """The games of a later seed come first, and a new agent's name stands before the others'."""
    rng, reader = np.random.default_rng(2), Reader(store)
    for agents, seeds in (("", ()), ("BC", (7, 9)), ("ABC", (1, 8)), ("ABC", ())):
        for seed in seeds:
            store.add([game(pair, (x, -x), seed) for pair in product(agents, repeat=2) for x in [float(rng.normal())]])
        found, anew = reader.table("CAB"), table(store, "CAB")
        for name in ("payoff", "error", "games", "score", "pairs"):
            np.testing.assert_array_equal(getattr(found, name), getattr(anew, name))


def test_agents_that_are_asked_and_no_others(store):
    store.add([game(pair, (1.0, -1.0), seed) for pair in product("ABC", repeat=2) for seed in range(3)])
    whole, part = table(store, "ABC"), table(store, ["C", "A"])
    places = np.ix_([0, 1], [2, 0], [2, 0])
    for name in ("payoff", "error", "games"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[places])
    np.testing.assert_array_equal(part.score, whole.score[np.ix_([2, 0], [2, 0])])
    assert table(store, []).payoff.shape == (2, 0, 0) and np.isnan(table(store, ["D"]).payoff).all()
    with pytest.raises(ValueError, match="each agent once"):
        table(store, ["A", "B", "A"])


def test_a_store_without_games(store):
    found = table(store, ["A", "B"])
    assert np.isnan(found.payoff).all() and np.isnan(found.score).all() and not found.games.any()


def test_a_seat_that_always_wins(store):
    """A game that pays the first seat 1: that favours no agent, and agents in another order find the same."""
    store.add([game(pair, (1.0, -1.0), seed) for pair in ("AB", "BA") for seed in range(4)])
    for agents in (["A", "B"], ["B", "A"]):
        found = table(store, agents)
        other = ~np.eye(2, dtype=bool)
        assert (found.payoff[0][other] == 1).all() and (found.payoff[1][other] == -1).all()
        assert (found.symmetric[other] == 0).all() and (found.score[other] == 0.5).all()
        assert (found.pairs[other] == 4).all() and (found.error[:, other] == 0).all()


def test_who_wins_in_which_seat_is_not_confused(store):
    """A wins in both seats; B's row is A's with the other sign and the other seat."""
    store.add([game("AB", (3.0, -3.0), seed) for seed in (1, 2)] + [game("BA", (-1.0, 1.0), seed) for seed in (1, 2)])
    for agents in (["A", "B"], ["B", "A"]):
        found = table(store, agents)
        a, b = agents.index("A"), agents.index("B")
        assert found.payoff[:, a, b].tolist() == [3, 1] and found.payoff[:, b, a].tolist() == [-1, -3]
        assert found.symmetric[a, b] == 2 == -found.symmetric[b, a]
        assert (found.score[a, b], found.score[b, a]) == (1, 0)


def test_ids_with_separators_are_other_cells(store):
    store.add([game(("a-b", "c"), (1.0, -1.0)), game(("a", "b-c"), (-1.0, 1.0)), game(("a,b", '"]'), (0.5, -0.5))])
    agents = ["a-b", "c", "a", "b-c", "a,b", '"]']
    first = table(store, agents).payoff[0]
    assert (first[0, 1], first[2, 3], first[4, 5]) == (1, -1, 0.5) and np.isnan(first).sum() == 36 - 3


def test_draws_alone_are_half_of_the_score(store):
    store.add([game(pair, (0.0, 0.0), seed) for pair in ("AB", "BA") for seed in range(5)])
    found = table(store, ["A", "B"])
    assert found.score[0, 1] == found.score[1, 0] == 0.5 and found.pairs[0, 1] == 5
    assert found.payoff[0, 0, 1] == 0 and found.error[0, 0, 1] == 0


def test_games_without_a_result_are_not_known(store):
    store.add([game("AB", (1.0, -1.0), 1, "cut"), game("BA", (1.0, -1.0), 1)])
    found = table(store, ["A", "B"])
    assert np.isnan(found.payoff[0, 0, 1]) and found.payoff[0, 1, 0] == 1 and found.pairs.sum() == 0


@pytest.mark.parametrize("spec", [ZERO_SUM, GENERAL], ids=["bounds", "general"])
def test_forfeits_are_those_of_reports(store, spec):
    """B forfeits a game in each seat: what A gets is its gain, or not known where the game is not zero-sum."""
    named(store, spec)
    gain = 1.0 if spec.payoff == "zero_sum" else NAN
    worst = spec.return_bounds[0]
    store.add(
        [
            game("AB", (gain, worst), 1, "agent_error", offender=1),
            game("BA", (worst, gain), 1, "timeout", offender=0),
            game("AB", (0.0, 0.0), 2),
        ]
    )
    found = table(store, ["A", "B"])
    np.testing.assert_array_equal(found.payoff[:, 1, 0], [worst, worst / 2])
    np.testing.assert_array_equal(found.payoff[:, 0, 1], [gain / 2 if gain == 1 else 0, gain])
    assert found.games[:, 0, 1].tolist() == ([2, 1] if gain == 1 else [1, 0])
    assert found.pairs[0, 1] == (1 if gain == 1 else 0)
    # And the table of match-ups, which has both seats together, says the same.
    reported = matchups(summarize(store).results)
    i, j = reported.agents.index("B"), reported.agents.index("A")
    total = np.nansum(found.payoff[:, 1, 0] * found.games[:, 1, 0])
    assert reported.payoff[i, j] == pytest.approx(total / found.games[:, 1, 0].sum())


def test_forfeits_without_bounds_are_the_worst_payoff_of_these_agents(store):
    named(store, make("spread(players=2)", 1).spec)
    store.add(
        [
            game("AB", (NAN, -1.0), 1, "agent_error", offender=1),
            game("AB", (-7.0, -5.0), 2),
            game("AC", (-99.0, -99.0), 2),
        ]
    )
    assert table(store, ["A", "B"]).payoff[1, 1, 0] == -6 and table(store, "ABC").payoff[1, 1, 0] == -52


def test_more_than_two_players_are_refused(store):
    store.add([PlayedGame(Fixture("g", ("A", "B", "C"), 0), (0.0, 0.0, 0.0), "finished", 1)])
    with pytest.raises(UserError, match="got 3 players"):
        table(store, ["A", "B"])


def test_the_errors_of_a_cell_are_those_of_its_seeds(store):
    """With one game a seed the standard error is that of independent games."""
    rng = np.random.default_rng(0)
    paid = rng.normal(size=50)
    fixtures = [fixture for fixture in cell("g", "A", "B", range(50), 3) if fixture.agents == ("A", "B")]
    store.add(PlayedGame(f, (float(x), -float(x)), "finished", 1) for f, x in zip(fixtures, paid, strict=True))
    found = table(store, ["B", "A"])
    assert found.payoff[0, 1, 0] == pytest.approx(paid.mean()) and found.payoff[1, 0, 1] == pytest.approx(-paid.mean())
    assert found.error[0, 1, 0] == pytest.approx(paid.std(ddof=1) / math.sqrt(50)) == found.error[1, 0, 1]


def test_expected_payoffs():
    payoff = np.arange(8.0).reshape(2, 2, 2)
    found = Table.exact(["A", "B"], payoff)
    assert found.agents == ("A", "B") and (found.payoff == payoff).all()
    assert not found.error.any() and not found.games.any() and np.isnan(found.score).all() and not found.pairs.any()


def test_the_seeds_of_a_sum_are_those_that_its_error_rests_on(store):
    """As many as a cell has; of cells that played unlike numbers, those of the one on which the error rests."""
    rng = np.random.default_rng(2)
    played = [(("A", "B"), 9), (("B", "A"), 40)]
    store.add([game(pair, (x, -x), seed) for pair, n in played for seed, x in enumerate(rng.normal(size=n).tolist())])
    found = table(store, "AB")

    def seeds(ab, ba):
        weights = np.zeros((2, 2, 2))
        weights[0, 0, 1], weights[0, 1, 0] = ab, ba
        return found.seeds_of(weights)

    assert seeds(1, 0) == 9 and seeds(0, 1) == 40
    assert 9 < seeds(0.5, 0.5) < 40
    assert seeds(0.01, 1) == pytest.approx(40, abs=0.5) and seeds(1, 0.01) == pytest.approx(9, abs=0.5)
    assert seeds(0, 0) == Table.exact("AB", found.payoff).seeds_of(np.ones((2, 2, 2))) == math.inf
