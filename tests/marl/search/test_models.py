"""A learned model that has learned its game perfectly is that game."""

from dataclasses import dataclass

import numpy as np
import pytest

from games.adapters.openspiel import load
from games.keys import fold
from marl.rollout.types import View
from marl.search.models import ExactModel, HiddenStates, LearnedModel
from marl.search.search import Search
from marl.search.selection import Gumbel, Puct
from tests.marl.search.reference import Table
from tests.marl.search.test_search import positions


class Perfect:
    """A network whose hidden states are the numbers of true positions; what cannot be done has a logit of -inf."""

    def __init__(self, spec, roots):
        self.spec, self.table, self.states = spec, Table(spec), list(roots)

    def initial(self, views, movers):
        return self.imagined(self.states[:], np.zeros((len(movers), self.spec.num_players)), 0)

    def recurrent(self, hidden, actions, movers):
        first = len(self.states)
        rewards = np.zeros((len(hidden), self.spec.num_players))
        for row, number, action, mover in zip(rewards, hidden[:, 0], actions.tolist(), movers.tolist(), strict=True):
            before = self.states[int(number)]
            state = before.clone()
            if not before.is_terminal():
                assert before.acting() == (mover,)
                state.apply([action] * self.spec.num_players)
                row += np.array(state.returns()) - before.returns()
            self.states.append(state)
        return self.imagined(self.states[first:], rewards, first)

    def imagined(self, states, rewards, first):
        hidden = np.arange(first, first + len(states), dtype=np.float32)[:, None]
        logits = np.zeros((len(states), self.spec.num_actions), np.float32)
        values = np.zeros((len(states), self.spec.num_players))
        movers = np.zeros(len(states), np.int64)
        for i, state in enumerate(states):
            if not state.is_terminal():
                movers[i] = state.acting()[0]
                logits[i], values[i] = self.table.one(state)
                illegal = set(range(self.spec.num_actions)) - set(state.legal_actions(movers[i]))
                logits[i, list(illegal)] = -np.inf
        return HiddenStates(hidden, movers, rewards, logits, values)


@dataclass
class OnlyWhatCanBeDone(Puct):
    def scores(self, tree, stats):
        return np.where(np.isneginf(tree.logit[stats.edges]), -np.inf, super().scores(tree, stats))


def view_of(spec, roots):
    return View.of(spec, roots, fold(0, np.arange(len(roots))), first=True)


@pytest.mark.parametrize("name", ["tic_tac_toe", "mancala"])  # in mancala a player may move twice
def test_a_perfect_model_searches_as_the_game_itself(name):
    game = load(name, {})
    roots = positions(game, 12)
    budget, keys = np.full(12, 60), fold(1, np.arange(12))
    learned = LearnedModel(game.spec, Perfect(game.spec, roots), view_of(game.spec, roots))
    found = Search(learned, OnlyWhatCanBeDone(), bounds=game.spec.return_bounds).run(keys, budget)
    exact = ExactModel(game.spec, Table(game.spec), roots)
    expected = Search(exact, Puct(), bounds=game.spec.return_bounds).run(keys, budget)
    assert (found.action[found.real] == expected.action[expected.real]).all()
    assert (found.visits == expected.visits).all() and (found.best == expected.best).all()
    assert (found.value == expected.value).all() and (found.policy == expected.policy).all()


def test_roots_have_their_legal_actions_and_what_follows_has_all():
    game = load("tic_tac_toe", {})
    roots = positions(game, 3)
    model = LearnedModel(game.spec, Perfect(game.spec, roots), view_of(game.spec, roots))
    began = model.begin(np.arange(3))
    legal = [state.legal_actions(state.acting()[0]) for state in roots]
    assert began.action.tolist() == [a for some in legal for a in some] and began.count.tolist() == [
        len(some) for some in legal
    ]
    followed = model.step(np.array([1]), np.array(legal[1][:1]), np.array([3]))
    assert followed.action.tolist() == list(range(9)) and followed.mover[0] == 1 - began.mover[1]
    logits, values = model.evaluate(np.array([3, 0]), np.array([0, 0]), fold(0, np.arange(2)))
    assert logits.shape == (2, 9) and values.shape == (2, 2)
    assert (values[1] == Table(game.spec).one(roots[0])[1]).all()


def test_a_gumbel_search_asks_a_learned_model_too():
    game = load("tic_tac_toe", {})
    root = game.initial_state()
    for move in (0, 3, 1, 4):
        root.apply([move] * 2)
    network = Perfect(game.spec, [root])
    network.table.one = lambda state: (np.zeros(9, np.float32), np.zeros(2))
    model = LearnedModel(game.spec, network, view_of(game.spec, [root]))
    found = Search(model, Gumbel(noise=0), bounds=(-1, 1)).run(fold(0, np.arange(1)), np.array([16]))
    assert found.best[0] == 2  # which wins
