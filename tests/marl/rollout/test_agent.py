"""The random agent: fair draws by key."""

import numpy as np

from marl.rollout.agent import Random
from tests.marl.views import BOX, TTT, box_view, view


def test_random_is_uniform_over_legal_actions():
    mask = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1], bool)
    actions = Random(TTT).act(view(40_000, mask), None)[0].action
    share = np.bincount(actions, minlength=9) / 40_000
    np.testing.assert_allclose(share, mask / 4, atol=0.01)
    assert not share[~mask].any()


def test_random_fills_the_box():
    actions = Random(BOX).act(box_view(20_000), None)[0].action
    assert actions.shape == (20_000, 3) and actions.dtype == np.float32
    assert actions.min() >= -2 and actions.max() <= 1
    np.testing.assert_allclose(actions.mean(0), -0.5, atol=0.03)
    np.testing.assert_allclose(actions.std(0), 3 / 12**0.5, atol=0.02)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.03


def test_random_draws_by_key_alone():
    whole = Random(TTT).act(view(20), None)[0].action
    assert whole.tolist() == [Random(TTT).act(view(20).take(i), None)[0].action[0] for i in range(20)]
    assert whole.tolist() != Random(TTT).act(view(20, key=2), None)[0].action.tolist()
