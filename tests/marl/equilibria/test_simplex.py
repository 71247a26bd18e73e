import numpy as np
import pytest

from marl.equilibria.simplex import project, softmax, top_k


def test_the_most_likely_are_kept():
    assert top_k(np.array([0.7, 0.2, 0.1]), 1).tolist() == [1, 0, 0]
    assert top_k(np.array([0.1, 0.2, 0.7]), 2) == pytest.approx([0, 2 / 9, 7 / 9])
    assert top_k(np.array([0.4, 0.2, 0.4]), 1).tolist() == [0.5, 0, 0.5]  # as likely: the order does not decide
    assert top_k(np.array([0.7, 0.3]), 5) == pytest.approx([0.7, 0.3])


def test_the_projection_is_the_nearest_distribution():
    assert project(np.array([0.5, 0.7])) == pytest.approx([0.4, 0.6])
    assert project(np.array([2.0, 0, 0])).tolist() == [1, 0, 0]
    assert project(np.array([2.0, 0, 0]), 0.1) == pytest.approx([0.8, 0.1, 0.1])
    assert project(np.full(4, -3.0), 0.25) == pytest.approx(np.full(4, 0.25))


def test_softmax_of_large_logits():
    assert softmax(np.array([1e4, 1e4, -1e4])).tolist() == [0.5, 0.5, 0]
