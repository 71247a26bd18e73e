"""GAE is the textbook's on each player's own decisions, whoever waits, dies or is cut off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl.returns import gae, successor_known

GAMMA, LAMBDA = 0.9, 0.8


def textbook(value, reward, acting, terminated, truncated, first):
    """Compute the advantages of one player in one environment [T]: find its decisions, then Schulman's recursion."""
    steps = len(reward)
    advantage = np.zeros(steps)
    decisions = [t for t in range(steps) if acting[t]]
    following = 0.0
    for t in reversed(decisions):
        paid, bootstrap, goes_on = 0.0, 0.0, False
        for u in range(t + 1, steps + 1):
            if first[u]:
                break
            paid += reward[u - 1]
            if terminated[u]:
                break
            if truncated[u]:
                bootstrap = value[u]
                break
            if acting[u]:
                bootstrap, goes_on = value[u], u < steps
                break
        delta = paid + GAMMA * bootstrap - value[t]
        advantage[t] = following = delta + (GAMMA * LAMBDA * following if goes_on else 0.0)
    return advantage


def forgetful(value, reward, acting, terminated, truncated, first):
    """The mutant: what is paid while a player waits is lost."""
    lost = np.where(acting[:-1], reward, 0.0).astype(np.float32)
    return gae(value, lost, acting, terminated, truncated, first, gamma=GAMMA, gae_lambda=LAMBDA)


def ours(*arrays):
    return gae(*arrays, gamma=GAMMA, gae_lambda=LAMBDA)


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
                terminated[t, e, over] = True
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


@pytest.mark.parametrize("kind", ["turns", "simultaneous", "dying"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equals_the_textbook(kind, seed):
    value, reward, acting, terminated, truncated, first = arrays = recording(seed, kind=kind)
    found, known = ours(*arrays), successor_known(acting, terminated, truncated)
    for e in range(acting.shape[1]):
        for p in range(acting.shape[2]):
            row = (slice(None), e, p)
            expected = textbook(value[row], reward[row], acting[row], terminated[row], truncated[row], first[:, e])
            decided = known[row]
            # A decision whose successor lies beyond the end is handed over later: nothing can be said of it here.
            usable = decided & (np.cumsum(acting[:-1][row] & ~decided) == 0)
            np.testing.assert_allclose(found[row][usable], expected[usable], atol=1e-5)
    assert not found[~acting[:-1]].any()


def test_the_mutant_that_forgets_piled_up_reward_is_caught():
    arrays = recording(0, kind="turns")
    assert not np.allclose(ours(*arrays), forgetful(*arrays), atol=1e-3)


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
