"""Cross-play, its interval over training seeds, families of agents, and conventions."""

import json

import numpy as np
import pytest

from games.native.matrix import named
from tournaments.ratings.cross_play import (
    best_response_proximity,
    conventions,
    cross_play,
    families_of,
    narrowed,
    partnerships,
    team_returns,
    with_strangers,
)
from tournaments.ratings.table import Table

PLANTED = np.array([[10.0, 1, 2, 3], [4, 20, 5, 6], [7, 8, 30, 9], [0, 1, 2, 40]])


def table(first, second):
    """Return a table of what is paid in seats 0 and 1, by the agents in them."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    return Table.exact([f"m{k}" for k in range(len(first))], np.stack([first, second.T]))


def test_self_play_is_the_diagonal_and_cross_play_all_else():
    """Trap: the diagonal mixed into cross-play would give 9.25."""
    found = cross_play(PLANTED)
    assert found.self_play[0] == 25 and found.cross_play[0] == 4 and found.gap[0] == 21
    assert cross_play(np.full((4, 4), 7.0)).gap.tolist() == [0, 0, 0]


def test_the_interval_is_drawn_by_key():
    paid = np.random.default_rng(0).normal(size=(8, 8))
    found, again, other = cross_play(paid), cross_play(paid), cross_play(paid, key=1)
    for name in ("self_play", "cross_play", "gap"):
        mean, low, high = getattr(found, name)
        assert low < mean < high and getattr(again, name).tolist() == [mean, low, high]
        assert getattr(other, name)[0] == mean and getattr(other, name)[1:].tolist() != [low, high]


def test_two_agents_are_resampled_together():
    """Whoever is drawn twice is no stranger to itself, so cross-play is always that of both."""
    found = cross_play(np.array([[1.0, 0.25], [0.75, 1]]))
    assert found.cross_play.tolist() == [0.5, 0.5, 0.5] and found.gap.tolist() == [0.5, 0.5, 0.5]


def test_the_teams_return_is_the_mean_of_what_both_are_paid():
    """In a team game it is what each is paid; a table has the second seat's payoffs by its own agent first."""
    first, second = [[1.0, 2], [3, 4]], [[5.0, 6], [7, 8]]
    assert team_returns(table(first, second)).tolist() == [[3, 4], [5, 6]]
    assert team_returns(table(first, first)).tolist() == first


def drawn(kind, rng, n):
    """Draw the returns of n agents that were trained apart; the gap of all such agents is 2."""
    if kind == "a skill for each seat":
        others = rng.normal(size=(n, 1)) + rng.normal(size=n) + rng.normal(size=(n, n)) / 2
        return others + np.diag(2 + rng.normal(size=n) / 2)
    skill = rng.normal(size=n)  # and a team is as good as its weaker agent: 1/√π below the mean
    others = np.minimum(skill[:, None], skill) + 0.3 * rng.normal(size=(n, n))
    return others + np.diag(2 - np.pi**-0.5 + 0 * skill)


@pytest.mark.parametrize("kind", ["a skill for each seat", "the weaker agent"])
def test_the_interval_covers_the_gap_of_all_training_seeds(kind):
    """Trap: an interval over games would say nothing of other training seeds."""
    rng = np.random.default_rng(0)
    gaps = np.array([cross_play(drawn(kind, rng, 8)).gap for _ in range(400)])
    covers = ((gaps[:, 1] <= 2) & (gaps[:, 2] >= 2)).mean()
    assert covers == pytest.approx(0.95, abs=0.03), covers


def test_self_play_at_the_lever_game_agrees_with_nobody_else():
    """Trap: each of nine agents has its own lever: self-play 1, cross-play 0; of all seeds 1/9, which they share."""
    pays = named("lever")[0]
    levers = np.arange(9)
    found = cross_play(pays[np.ix_(levers, levers)])
    assert (found.self_play[0], found.cross_play[0]) == (1, 0)
    everyone = np.repeat(levers, 200)
    assert cross_play(pays[np.ix_(everyone, everyone)][::7, ::7]).cross_play[0] == pytest.approx(1 / 9, abs=0.01)


def test_the_best_response_to_a_pool_at_the_lever_game_earns_a_ninth_with_strangers():
    """Trap: success claimed on the pool. With eight partners on eight levers it earns 1/8, with strangers 1/9."""
    pays = named("lever")[0]
    pool, strangers = np.arange(8), np.arange(9)
    with_pool = pays[:, pool].mean(1)
    response = int(with_pool.argmax())
    assert with_pool[response] == 1 / 8 and pays[response, strangers].mean() == pytest.approx(1 / 9)
    assert pays[9, 9] == 0.9  # what Other-Play finds


def test_returns_with_strangers_are_over_both_seatings():
    first = np.arange(16.0).reshape(4, 4)
    found = with_strangers(table(first, first), ["m0", "m2"], ["m1", "m3"])
    assert found.tolist() == [[(1 + 4) / 2, (3 + 12) / 2], [(9 + 6) / 2, (11 + 14) / 2]]


def test_what_co_play_narrows_by_hand():
    """Strangers make no difference: 5 ± 1 against 3 ± 1 by Welch's interval, t(0.975, 2) · √(1 + 1)."""
    learned, alone = np.repeat([[4.0], [6.0]], 3, 1), np.repeat([[2.0], [4.0]], 3, 1)
    found = narrowed(learned, alone)
    assert found.mean == 2 and found.interval == pytest.approx(4.302653 * 2**0.5)
    assert narrowed(learned[:1], alone).interval == np.inf
    assert narrowed(np.full((3, 4), 2.0), np.full((5, 4), 1.0)).interval == 0


def test_a_stranger_that_is_hard_for_all_widens_nothing():
    hard = np.array([0.0, 10, -10, 3])
    learned, alone = np.array([[4.0], [5], [6]]) + hard, np.array([[2.0], [3], [4]]) + hard
    assert narrowed(learned, alone).interval == pytest.approx(narrowed(learned - hard, alone - hard).interval)


def test_the_interval_of_what_is_narrowed_covers():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1000):
        strangers = rng.normal(size=4)
        learned, alone = (
            rng.normal(size=(n, 1)) + strangers + 0.5 * rng.normal(size=4) + 0.3 * rng.normal(size=(n, 4))
            for n in (5, 8)
        )
        found = narrowed(learned, alone)
        hits.append(abs(found.mean) <= found.interval)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03), np.mean(hits)


@pytest.mark.parametrize("wrong", [np.ones((1, 1)), np.full((3, 3), np.nan)], ids=["one", "unknown"])
def test_returns_that_are_not_known_are_refused(wrong):
    with pytest.raises(ValueError, match="expected known returns"):
        cross_play(wrong)
    with pytest.raises(ValueError, match="expected known returns"):
        narrowed(np.full((2, 2), np.nan), np.ones((2, 2)))


def families():
    """Two algorithms with three training seeds each. The first agree on one convention, the second on two."""
    paid = np.full((6, 6), 0.2)
    paid[:3, :3] = 1.0
    paid[3:5, 3:5] = 0.8
    paid[5, 5] = 0.9
    return table(paid, paid), [f"runs/{name}/members/seed-*" for name in ("x", "y") for _ in range(3)]


def test_families_meet_in_cross_play():
    found = partnerships(*families())
    first, second = found.families
    assert first.name == "runs/x/members/seed-*" and first.agents == ("m0", "m1", "m2")
    assert first.found.gap.tolist() == [0, 0, 0] and first.self_play == 1
    assert second.found.self_play[0] == pytest.approx(2.5 / 3)
    assert second.found.cross_play[0] == pytest.approx((0.8 + 0.2 + 0.2) / 3)
    inter = {meeting.families: meeting for meeting in found.meetings}
    assert set(inter) == {(a, b) for a in (first.name, second.name) for b in (first.name, second.name) if a <= b}
    between = inter[first.name, second.name]
    assert (between.mean, between.low, between.high, between.teams) == pytest.approx((0.2, 0.2, 0.2, 9))
    assert found.worst[0] == ("m3", 0.2) and found.worst[5] == ("m0", 0.2)


def test_conventions_are_who_plays_well_together():
    found = partnerships(*families())
    assert found.convention.tolist() == [0, 0, 0, 1, 1, 2]
    assert found.to_json()["conventions"] == [["m0", "m1", "m2"], ["m3", "m4"], ["m5"]]
    assert conventions(np.full((4, 4), 0.3)).tolist() == [0, 0, 0, 0]  # nobody loses anything


def test_a_family_of_one_agent_has_no_interval():
    """Trap: an interval over games says nothing of other training seeds."""
    paid, _ = families()
    found = partnerships(paid, ["alone", "x", "x", "x", "y", "y"])
    assert found.families[0].found is None
    meeting = next(each for each in found.meetings if each.families == ("alone", "x"))
    assert np.isnan(meeting.low) and meeting.teams == 3
    json.dumps(found.to_json(), allow_nan=False)


def test_two_agents_of_a_family_have_no_interval():
    """Trap: resamples of two have both or one alone, so that they would all be alike."""
    found = partnerships(families()[0], ["x", "x", "y", "y", "y", "y"]).families[0].found
    assert found.gap[0] == 0 and np.isnan(found.gap[1:]).all()


def test_a_training_seed_is_the_number_behind_the_word():
    sweep = "runs/x/members/learning_rate-0.001_seed"
    assert families_of([f"{sweep}-2", "runs/a_seed1", "runs/a1"]) == [f"{sweep}-*", "runs/a_seed-*", "runs/a1"]


def test_the_step_of_a_checkpoint_counts_where_several_of_a_run_play():
    one, other = (f"runs/seed-{k}/checkpoints/{step}" for k, step in ((0, 100), (1, 101)))
    assert families_of([one, other]) == ["runs/seed-*"] * 2
    early = "runs/seed-0/checkpoints/050"
    assert families_of([one, early]) == ["runs/seed-*/checkpoints/100", "runs/seed-*/checkpoints/050"]


def test_proximity_to_the_best_response_by_hand():
    returns = np.array([[10.0, 4.0, 0.0], [2.0, 8.0, 0.0], [0.0, 0.0, 0.0]])
    found = best_response_proximity(returns, np.array([12.0, 8.0, 0.0]))
    assert found[:, :2] == pytest.approx(np.array([[10 / 12, 3 / 8], [3 / 12, 1.0], [0.0, 0.0]]))
    assert np.isnan(found[:, 2]).all()  # there is no share of nothing
