"""Games whose equilibria are known."""

import numpy as np

ROCK_PAPER_SCISSORS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
TWO_ROCKS = ROCK_PAPER_SCISSORS[np.ix_([0, 0, 1, 2], [0, 0, 1, 2])]  # rock, rock, paper, scissors
BIASED = np.array([[0, -0.5, 1], [0.5, 0, -0.1], [-1, 0.1, 0]])  # its equilibrium is (1, 10, 5) / 16
TRANSITIVE = np.array([[0.0, -1, -1], [1, 0, -1], [1, 1, 0]])
PENNIES = np.array([[1.0, -1], [-1, 1]])
HEAVY_PENNY = np.array([[3.0, -1], [-1, 1]])  # both play (1/3, 2/3)
PREFERENCE = np.array([[0.5, 0.1, 0.7], [0.9, 0.5, 0.2], [0.3, 0.8, 0.5]])  # its equilibrium is (3, 2, 4) / 9
PRISONERS = np.array([[3.0, 0], [5, 1]])
COORDINATION = np.eye(2)


def zero_sum(matrix):
    return matrix, -matrix


def symmetric(matrix):
    """The payoffs of both seats of a game that pays the row player `matrix`."""
    return matrix, matrix.T
