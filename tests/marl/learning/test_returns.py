"""GAE is the textbook's on each player's own decisions, whoever waits, dies or is cut off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl.learning.returns import gae
from marl.rollout.recording import successor_known
from tests.properties import examples

GAMMA, LAMBDA = 0.9, 0.8


def compacted(value, reward, acting, terminated, truncated, first, decides):
    """Return one player's decisions as (t, what it was paid until the next, the next's value or None, goes on, m).

    Its team makes m decisions from one to the next, at the steps `decides` [T+1]; they discount what is paid.
    """
    decisions = []
    for t in np.flatnonzero(acting[:-1]).tolist():
        paid, following, goes_on, m = 0.0, None, False, 0
        for u in range(t + 1, len(acting)):
            m += bool(decides[u - 1])
            paid += GAMMA ** (m - 1) * reward[u - 1]
            if terminated[u] or truncated[u] or first[u]:
                following = value[u] if truncated[u] and not terminated[u] else 0.0
                break
            if acting[u]:
                following, goes_on = value[u], True
                break
        decisions.append((t, paid, following, goes_on, m))
    return decisions


def textbook(*recorded):
    """Compute the advantages of one player in one environment [T]: Schulman's sum over the deltas that are known."""
    value, reward = recorded[:2]
    advantage = np.zeros(len(reward))
    decisions = compacted(*recorded)
    for k, (t, _, known, _, _) in enumerate(decisions):
        weight = 1.0
        for at, paid, following, goes_on, m in decisions[k:] if known is not None else []:
            if following is None:
                break
            advantage[t] += weight * (paid + GAMMA**m * following - value[at])
            weight *= GAMMA**m * LAMBDA
            if not goes_on:
                break
    return advantage


def forgetful(value, reward, acting, terminated, truncated, first):
    """The mutant: what is paid while a player waits is lost."""
    lost = np.where(acting[:-1], reward, 0.0).astype(np.float32)
    return gae(value, lost, acting, terminated, truncated, first, gamma=GAMMA, gae_lambda=LAMBDA)


def ours(*arrays, team=False):
    return gae(*arrays, gamma=GAMMA, gae_lambda=LAMBDA, team=team)


def recording(seed, steps=40, envs=3, players=3, kind="dying"):
    """Make up a recording: turns, simultaneous moves, deaths and cuts, with idle slots between episodes."""
    rng = np.random.default_rng(seed)
    shape = (steps + 1, envs, players)
    acting, terminated, truncated = (np.zeros(shape, bool) for _ in range(3))
    first = np.zeros(shape[:2], bool)
    reward = rng.normal(size=(steps, envs, players)).astype(np.float32)
    for e in range(envs):
        over, opens, turn = np.zeros(players, bool), True, 0
        for t in range(steps + 1):
            if opens:
                over[:], opens, first[t, e] = False, False, True
                if t:
                    reward[t - 1, e] = 0
            elif rng.random() < 0.15:
                left = ~over
                (terminated if rng.random() < 0.5 else truncated)[t, e, left] = True
                terminated[t, e, over | (left & (rng.random(players) < 0.2))] = True  # some die as the recording is cut
                opens = True
                continue
            elif kind == "dying" and rng.random() < 0.2 and (~over).sum() > 1:
                over[rng.choice(np.flatnonzero(~over))] = True
            terminated[t, e] = over
            alive = np.flatnonzero(~over)
            if kind == "turns":
                acting[t, e, alive[turn % len(alive)]] = True
                turn += 1
            elif kind == "simultaneous":
                acting[t, e, alive] = True
            else:
                acting[t, e, alive] = rng.random(len(alive)) < 0.6
    return rng.normal(size=shape).astype(np.float32), reward, acting, terminated, truncated, first


@pytest.mark.parametrize("team", [False, True])
@pytest.mark.parametrize("kind", ["turns", "simultaneous", "dying"])
@settings(max_examples=examples(25))
@given(seed=st.integers(0, 10**6))
def test_equals_the_textbook(kind, team, seed):
    value, reward, acting, terminated, truncated, first = arrays = recording(seed, kind=kind)
    found, known = ours(*arrays, team=team), successor_known(acting, terminated, truncated)
    for e, p in np.ndindex(acting.shape[1:]):
        row = (slice(None), e, p)
        decides = acting[:, e].any(1) if team else acting[row]
        one = value[row], reward[row], acting[row], terminated[row], truncated[row], first[:, e], decides
        np.testing.assert_allclose(found[row], textbook(*one), atol=1e-5)
        expected = [t for t, _, following, _, _ in compacted(*one) if following is not None]
        assert np.flatnonzero(known[row]).tolist() == expected


@settings(max_examples=examples(10))
@given(seed=st.integers(0, 10**6))
def test_an_environment_in_which_players_wait_changes_no_bit_of_the_others(seed):
    """Where nobody waits all advantages are computed another way, faster."""
    alone, waits = recording(seed, kind="simultaneous"), recording(seed, kind="turns")
    together = [np.concatenate(both, axis=1) for both in zip(alone, waits, strict=True)]
    assert ours(*alone).tobytes() == ours(*together)[:, :3].tobytes()


def test_what_is_not_finite_stays_in_its_episode():
    value, reward, acting, terminated, truncated, first = recording(3, kind="simultaneous", envs=1)
    opens = int(np.flatnonzero(first[:, 0])[1])
    reward[opens:] = np.inf
    found = ours(value, reward, acting, terminated, truncated, first)
    assert np.isfinite(found[:opens]).all() and not np.isfinite(found[opens:]).all()


def test_the_mutant_that_forgets_piled_up_reward_is_caught():
    arrays = recording(0, kind="turns")
    assert not np.allclose(ours(*arrays), forgetful(*arrays), atol=1e-3)


def test_a_decision_without_a_known_successor_does_not_reach_back():
    """Where every value is 1 and nothing is paid, every advantage is 0: above all that of the last known decision."""
    acting = np.array([[[1, 0]], [[0, 1]], [[1, 0]], [[0, 1]]], bool)
    never = np.zeros_like(acting)
    first = np.array([[True], [False], [False], [False]])
    value, reward = np.ones(acting.shape, np.float32), np.zeros((3, 1, 2), np.float32)
    assert successor_known(acting, never, never)[:, 0].tolist() == [[True, False], [False, True], [False, False]]
    assert not gae(value, reward, acting, never, never, first, gamma=1.0, gae_lambda=1.0).any()


def test_simultaneous_by_hand():
    """Three decisions of one player, then the end: paid 1, 0, 2 where V = 0.5, 1, -1."""
    acting = np.array([1, 1, 1, 0], bool).reshape(4, 1, 1)
    over = np.array([0, 0, 0, 1], bool).reshape(4, 1, 1)
    value = np.array([0.5, 1, -1, 7], np.float32).reshape(4, 1, 1)
    reward = np.array([1, 0, 2], np.float32).reshape(3, 1, 1)
    first = np.array([[True], [False], [False], [False]])
    deltas = [1 + 0.9 - 0.5, -0.9 - 1, 2 + 1]  # 1.4, -1.9, 3; then A = delta + 0.72 A'
    found = ours(value, reward, acting, over, np.zeros_like(over), first)[:, 0, 0]
    np.testing.assert_allclose(found, [1.5872, 0.26, 3.0], rtol=1e-5)
    assert found[0] == pytest.approx(deltas[0] + 0.72 * (deltas[1] + 0.72 * deltas[2]))


def test_an_episode_does_not_reach_into_the_one_before():
    """Two episodes with the idle slot between them: the second's reward is none of the first's."""
    acting = np.array([1, 0, 1, 1, 0], bool).reshape(5, 1, 1)
    over = np.array([0, 1, 0, 0, 1], bool).reshape(5, 1, 1)
    value = np.array([0.5, 9, 2, 3, 9], np.float32).reshape(5, 1, 1)
    reward = np.array([1, 0, 0, 100], np.float32).reshape(4, 1, 1)
    first = np.array([[True], [False], [True], [False], [False]])
    found = ours(value, reward, acting, over, np.zeros_like(over), first)[:, 0, 0]
    np.testing.assert_allclose(found, [0.5, 0, 0.9 * 3 - 2 + 0.72 * 97, 97], rtol=1e-6)
    assert successor_known(acting, over, np.zeros_like(over))[:, 0, 0].tolist() == [True, False, True, True]


def test_by_hand():
    """Two players by turns; the second one's move ends the game and pays the first."""
    acting = np.array([[[1, 0]], [[0, 1]], [[0, 0]]], bool)
    over = np.array([[[0, 0]], [[0, 0]], [[1, 1]]], bool)
    value = np.array([[[0.5, 9]], [[9, -0.25]], [[9, 9]]], np.float32)
    reward = np.array([[[0.125, 0.25]], [[1, -1]]], np.float32)
    first = np.array([[True], [False], [False]])
    found = ours(value, reward, acting, over, np.zeros_like(over), first)
    np.testing.assert_allclose(found, [[[1.125 - 0.5, 0]], [[0, -1 + 0.25]]])
    cut = ours(value, reward, acting, np.zeros_like(over), over, first)
    np.testing.assert_allclose(cut, [[[1.125 + 0.9 * 9 - 0.5, 0]], [[0, -1 + 0.9 * 9 + 0.25]]], rtol=1e-6)


def test_first_cuts_even_where_no_end_was_seen():
    """A game that was stopped and reset: what comes after pays nothing to what was before."""
    acting, never = np.ones((3, 1, 1), bool), np.zeros((3, 1, 1), bool)
    value, reward = np.full((3, 1, 1), 2, np.float32), np.ones((2, 1, 1), np.float32)
    found = ours(value, reward, acting, never, never, np.array([[True], [True], [False]]))
    np.testing.assert_allclose(found[:, 0, 0], [1 - 2, 1 + 0.9 * 2 - 2], rtol=1e-6)


def test_a_team_is_worth_the_same_to_the_dead_and_to_the_living():
    """The second player dies at step 1, and the team is paid 1, 2 and 4: both expect 1 + 0.9 (2 + 0.9 * 4) = 6.04."""
    acting = np.array([[[1, 1]], [[1, 0]], [[1, 0]], [[0, 0]]], bool)
    over = np.array([[[0, 0]], [[0, 0]], [[0, 0]], [[1, 1]]], bool)
    reward = np.array([1, 2, 4], np.float32)[:, None, None].repeat(2, axis=2)
    first = np.array([[True], [False], [False], [False]])
    recorded = np.zeros(acting.shape, np.float32), reward, acting, over, np.zeros_like(over), first
    together = gae(*recorded, gamma=0.9, gae_lambda=1.0, team=True)
    np.testing.assert_allclose(together[0, 0], [6.04, 6.04], rtol=1e-6)
    alone = gae(*recorded, gamma=0.9, gae_lambda=1.0)
    np.testing.assert_allclose(alone[0, 0], [6.04, 7.0], rtol=1e-6)
