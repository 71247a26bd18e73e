"""The payoff table: games by hand, scripted agents whose payoffs are known, intervals that cover, gaps left open."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrant
from tests.properties import examples
from tests.tournaments.eager import round_robin
from tournaments.playing.match import play
from tournaments.ratings.matchups import matchups
from tournaments.records.results import Result, Results

T1 = 12.706205  # t(0.975, 1)
BY_HAND = [
    Result(("A", "B"), (3.0, 1.0), 0, length=2),
    Result(("B", "A"), (2.0, 5.0), 0, length=4),
    Result(("A", "B"), (1.0, 0.0), 1, length=6),
    Result(("A", "A"), (4.0, 2.0), 0, length=2),
    Result(("A", "A"), (6.0, 4.0), 1, length=2),
]


def test_means_and_intervals_by_hand():
    """A's row first: A from A 4, 2, 6, 4, and from B 3, 5, 1; deviations are summed by seed, then squared."""
    table = matchups(Results.of(BY_HAND))
    assert table.agents == ("A", "B") and table.games.tolist() == [[2, 3], [3, 0]]
    np.testing.assert_array_equal(table.payoff, [[4, 3], [1, np.nan]])
    # SE² = 2/1 · Σ (deviations / n)²: (-2, 2)/4 of A from A, (2, -2)/3 of A from B, (1, -1)/3 of B from A.
    np.testing.assert_allclose(table.ci95, [[T1, T1 * 4 / 3], [T1 * 2 / 3, np.nan]], rtol=1e-6)
    np.testing.assert_allclose(table.welfare, [[8, 4], [4, np.nan]])
    np.testing.assert_allclose(table.welfare_ci95, [[2 * T1, 2 * T1], [2 * T1, np.nan]], rtol=1e-6)
    # A from the pool: the mean of its row, seeds' deviations (-1/2 + 2/3)/2 and (1/2 - 2/3)/2; B has met A alone.
    np.testing.assert_allclose(table.pool, [3.5, 1])
    np.testing.assert_allclose(table.pool_ci95, [T1 / 6, T1 * 2 / 3], rtol=1e-6)
    assert table.best.tolist() == [[True, True], [False, False]] and table.best_against_pool == ["A"]
    assert table.missing == 1
    first, second = table.standings
    assert (first.self_play, first.cross_play, first.welfare, first.games) == (4, 3, 6, 5)
    assert (second.self_play, second.cross_play, second.best_responses) == (None, 1, ["A"])


def test_a_payoff_per_step_is_all_that_was_paid_over_all_steps():
    table = matchups(Results.of(BY_HAND), "step")
    assert table.unit == "step"
    np.testing.assert_allclose(table.payoff, [[16 / 8, 9 / 12], [3 / 12, np.nan]])
    # B from A: 1 - 2/4, 2 - 4/4 on seed 0 and 0 - 6/4 on seed 1, over 12 steps.
    np.testing.assert_allclose(table.ci95[1, 0], T1 * np.sqrt(2 * (1.5**2 + 1.5**2)) / 12, rtol=1e-6)


def test_one_seed_shows_no_interval():
    table = matchups(Results.of(BY_HAND[:2]))
    assert table.payoff[0, 1] == 4 and np.isnan(table.ci95).all() and np.isnan(table.pool_ci95).all()
    assert table.to_json()["standings"][0]["ci95"] is None


def test_a_forfeit_counts_as_a_whole_game():
    log = [Result(("A", "B"), (0.0, 0.0), 0, length=50), Result(("A", "B"), (-100.0, 0.0), 1, "agent_error", length=1)]
    table = matchups(Results.of(log), "step")
    assert table.agents == ("B", "A") and table.payoff[1, 0] == -1


def test_a_forfeit_says_nothing_of_the_other():
    """C forfeited both games against A, and B one of three and one of two against itself."""
    nan = float("nan")
    log = [
        *(Result(("A", "C"), (nan, -9.0), seed, "agent_error") for seed in (0, 1)),
        *(Result(("A", "B"), (2.0 * seed, 1.0), seed) for seed in (0, 1)),
        Result(("B", "A"), (-9.0, nan), 2, "illegal_action"),
        Result(("B", "B"), (3.0, 1.0), 0),
        Result(("B", "B"), (nan, -9.0), 1, "agent_error"),
        Result(("C", "C"), (2.0, 2.0), 0),
    ]
    table = matchups(Results.of(log))
    assert table.agents == ("A", "B", "C") and table.games.tolist() == [[0, 2, 0], [3, 2, 0], [2, 0, 1]]
    np.testing.assert_allclose(table.payoff, [[nan, 1, nan], [-7 / 3, -5 / 3, nan], [-9, nan, 2]])
    # A from B: 0 and 2, so SE² = 2/1 · (1/4 + 1/4), and no other game says more of A.
    np.testing.assert_allclose(table.ci95[0], [nan, T1, nan], rtol=1e-6)
    np.testing.assert_allclose(table.pool_ci95[0], T1, rtol=1e-6)
    # B from A: deviations 10/9, 10/9 and -20/9. Two seeds say something of both.
    both = T1 * np.sqrt(2 * ((10 / 9 - 1 / 2) ** 2 + (10 / 9 + 1 / 2) ** 2 + (20 / 9) ** 2))
    np.testing.assert_allclose([table.welfare_ci95[0, 1], table.welfare_ci95[1, 0]], both, rtol=1e-6)
    assert table.missing == 2  # A with A, and B with C
    first, _, last = table.standings
    assert (first.payoff, first.cross_play, first.welfare, first.games) == (1, 1, round(1 - 7 / 3, 9), 2)
    assert (last.payoff, last.ci95, last.welfare, last.best_responses) == (-3.5, 0, 4, ["C"])


def test_of_whom_nothing_is_known_stands_above_who_broke_off_games():
    log = [Result((other, "C"), (float("nan"), -9.0), 0, "agent_error") for other in "AB"]
    table = matchups(Results.of(log))
    assert table.agents == ("A", "B", "C") and table.best_against_pool == ["C"]
    assert [line.payoff for line in table.standings] == [None, None, -9]
    json.dumps(table.to_json(), allow_nan=False)


def test_several_best_responses():
    log = [Result((one, other), (2.0, 2.0), 0) for one in "AB" for other in "AB"] + [Result(("C", "A"), (1.0, 9.0), 0)]
    table = matchups(Results.of(log))
    assert table.standings[table.agents.index("A")].best_responses == ["A", "B"]
    assert table.standings[table.agents.index("C")].best_responses == ["A"]


def test_nothing_played_and_too_many_players():
    table = matchups(Results.of([]))
    assert table.agents == () and table.standings == [] and table.best_against_pool == []
    with pytest.raises(UserError, match="got 3 players"):
        matchups(Results.of([Result(("A", "B", "C"), (0.0, 0.0, 0.0), 0)]))


def test_json_is_json():
    data = matchups(Results.of(BY_HAND)).to_json()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["payoff"] == [[4, 3], [1, None]] and data["games"] == [[2, 3], [3, 0]] and data["unit"] == "game"


seat = st.sampled_from("ABCD")
games = st.lists(
    st.tuples(st.tuples(seat, seat), st.tuples(st.integers(-9, 9), st.integers(-9, 9)), st.integers(0, 3)), min_size=1
)

ROUNDING = 1e-12  # of sums of payoffs up to 9: what cancels is 0 but for it


@example([(("A", "A"), (0, 0), 0), (("A", "A"), (0, 0), 0), (("A", "A"), (0, 1), 0), (("A", "B"), (0, 0), 1)])
@given(games)
@settings(max_examples=examples(50))
def test_the_table_is_the_mean_of_what_was_paid_whoever_is_called_what(played):
    table = matchups(Results.of([Result(agents, payoffs, seed) for agents, payoffs, seed in played]))
    for i, agent in enumerate(table.agents):
        for j, other in enumerate(table.agents):
            sides = [(a, p) for a, p, _ in played] + [(a[::-1], p[::-1]) for a, p, _ in played]
            paid = [payoffs[0] for agents, payoffs in sides if agents == (agent, other)]
            assert table.games[i, j] == len(paid) // (2 if i == j else 1)
            mean = np.mean(paid) if paid else np.nan
            assert table.payoff[i, j] == pytest.approx(mean, abs=ROUNDING, nan_ok=True)
    assert (np.diff(table.pool) <= 1e-9).all()
    turned = matchups(Results.of([Result(agents[::-1], payoffs[::-1], seed) for agents, payoffs, seed in played]))
    np.testing.assert_allclose(turned.payoff, table.payoff, atol=ROUNDING)
    np.testing.assert_allclose(turned.pool_ci95, table.pool_ci95, atol=ROUNDING)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """300 tournaments of 12 seeds whose luck all of a seed's games share: games that were counted alone would not."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        luck = rng.normal(size=12)
        log = [
            Result((one, other), (luck[seed] + rng.normal(), luck[seed] + rng.normal()), seed)
            for seed in range(12)
            for one, other in (("A", "A"), ("A", "B"), ("B", "A"))
        ]
        table = matchups(Results.of(log))
        a = table.agents.index("A")
        covered.append([*(np.abs(table.payoff[a]) < table.ci95[a]), abs(table.pool[a]) < table.pool_ci95[a]])
    share = np.mean(covered, 0)  # of A from A, A from B, A from the pool
    assert share.shape == (3,) and share.min() >= 0.91 and share.max() <= 0.98


AGENTS = ["tit_for_tat", "always_cooperate", "always_defect"]


def scripted(game, seeds=3):
    """Play a tournament of scripted agents in memory."""
    spec = make(game, 1).spec
    named = {load_entrant(name, spec).digest: name for name in AGENTS}
    fixtures = round_robin(game, list(named), 2, seeds, seed=0, self_play=True)
    return Results.of(
        [
            Result(tuple(named[a] for a in g.fixture.agents), g.payoffs, g.fixture.seed, g.termination, g.length)
            for g in play(game, AGENTS, fixtures, num_envs=8)
        ]
    )


def test_scripted_agents_in_the_prisoners_dilemma():
    """50 steps: CC pays -1 each, CD -3 and 0, DD -2 each; tit for tat is exploited once by who always defects."""
    results = scripted("matrix(game=prisoners_dilemma, steps=50, memory=true, truncate=true)")
    table = matchups(results, "step")
    assert table.agents == ("always_defect", "tit_for_tat", "always_cooperate")
    expected = [
        [-2, (0 - 49 * 2) / 50, 0],
        [(-3 - 49 * 2) / 50, -1, -1],
        [-3, -1, -1],
    ]
    np.testing.assert_allclose(table.payoff, expected, atol=1e-12)
    np.testing.assert_allclose(table.ci95, 0, atol=1e-12)
    np.testing.assert_allclose(table.pool, np.mean(expected, 1))
    np.testing.assert_allclose(table.welfare, [[-4, -3.98, -3], [-3.98, -2, -2], [-3, -2, -2]])
    assert (table.games == [[3, 6, 6], [6, 3, 6], [6, 6, 3]]).all() and table.missing == 0
    assert {line.agent: line.best_responses for line in table.standings} == {
        "always_defect": ["always_defect"],
        "tit_for_tat": ["tit_for_tat", "always_cooperate"],
        "always_cooperate": ["always_defect"],
    }
    np.testing.assert_allclose(matchups(results, "game").payoff, 50 * table.payoff)
