"""Views and Specs that tests of agents make up."""

import numpy as np

from games.contract import Array, Box, Spec
from games.keys import fold
from games.registry import make
from marl.rollout.types import View

TTT = make("openspiel:tic_tac_toe", 1).spec
BOX = Spec("box", 2, Array((2,)), Box(3, -2.0, 1.0), "general_sum", "simultaneous", True, False, False)


def view(rows, mask=None, key=1, states=None):
    """Make up the views of `rows` seats, two an environment."""
    seats = np.arange(rows)
    mask = np.ones((rows, 9), bool) if mask is None else np.broadcast_to(mask, (rows, len(mask)))
    obs = np.zeros((rows, 27), np.float32)
    return View(obs, mask, seats % 2, seats, np.ones(rows, bool), fold(key, seats), states)


def box_view(rows):
    return view(rows, mask=np.zeros(0, bool))
