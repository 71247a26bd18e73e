"""What the critic sees, and the memory that it carries from trajectory to trajectory."""

import numpy as np
import pytest

from tests.marl.algorithms.policy_gradient.games import Player, Skirmish


def valued(length, rollouts, **settings):
    """Return the values of every view of a play in rollouts of some length, by (step, environment, player)."""
    player = Player("mappo", Skirmish(6), recurrent=True, **settings)
    found, end = {}, 0
    for _ in range(rollouts):
        trajectory = player.rollout(length)
        start, end = end - trajectory.recorded, end + length
        values = player.values(trajectory)
        for t, e, n in np.argwhere(trajectory.index >= 0).tolist():
            found.setdefault((start + t, e, n), []).append(values.value[t, e, n])
    return found


@pytest.mark.parametrize("share", [True, False, ((0, 2), (1,))])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_values_do_not_depend_on_where_trajectories_end(length, share):
    """Rollouts overlap where a player waits for its successor, and episodes, deaths and waits reach over their ends."""
    whole = valued(24, 1, share_parameters=share)
    parts = valued(length, 24 // length, share_parameters=share)
    assert whole.keys() == parts.keys() and len(whole) > 100
    for at, (value,) in whole.items():
        np.testing.assert_allclose(parts[at], value, atol=1e-5)


def test_the_memory_matters_and_a_stretch_begins_without():
    player = Player("ippo", Skirmish(6), recurrent=True)
    values = []
    for _ in range(2):
        player.begin()
        values.append([player.values(player.rollout(5)).value for _ in range(2)])
    for one, other in zip(*values, strict=True):
        np.testing.assert_array_equal(one, other)
    player = Player("ippo", Skirmish(6), recurrent=True)
    player.rollout(5)
    trajectory = player.rollout(5)
    forgot = player.values(trajectory).value  # it has not seen what came before
    assert np.abs(forgot - values[0][1]).max() > 1e-3


def test_the_memory_goes_on_where_there_is_nothing_to_learn():
    values = []
    for by_update in (True, False):
        player = Player("ippo", Skirmish(6), recurrent=True)
        first = player.rollout(5)
        if by_update:
            player.learner.update(first, [])
        else:
            player.values(first)
        values.append(player.values(player.rollout(5)).value)
    np.testing.assert_array_equal(*values)
