"""PUCT written out for one game, with dictionaries and recursion: what the batched search is held against."""

import math
from dataclasses import dataclass, field

import numpy as np

from games.keys import fold_one, uniform_one


class Table:
    """An evaluator that says of every position something else, always the same: numbers hashed from its key."""

    def __init__(self, spec):
        self.spec = spec
        self._told = {}  # what it has said, by the position's key

    def one(self, state):
        told = state.key()
        if told not in self._told:
            self._told[told] = self._hashed(told)
        return self._told[told]

    def _hashed(self, told):
        key = hash_of(told)
        logits = [3 * uniform_one(fold_one(key, a)) for a in range(self.spec.num_actions)]
        values = [2 * uniform_one(fold_one(key, 1000 + p)) - 1 for p in range(self.spec.num_players)]
        return np.array(logits, np.float32), np.array(values)

    def evaluate(self, states, movers, keys):
        said = [self.one(state) for state in states]
        return np.stack([logits for logits, _ in said]), np.stack([values for _, values in said])


def hash_of(key):
    number = 0
    for letter in repr(key).encode():
        number = fold_one(number, letter)
    return number


@dataclass
class Node:
    state: object
    mover: int  # -1: chance, -2: over
    actions: list
    prior: list
    value: np.ndarray
    visits: int = 0
    total: np.ndarray = 0.0
    taken: list = field(default_factory=list)
    paid: list = field(default_factory=list)
    child: dict = field(default_factory=dict)


def make(state, table, num_players):
    acting = state.acting()
    if acting:
        actions = list(state.legal_actions(acting[0]))
        logits, value = table.one(state)
        weight = np.exp(logits[actions].astype(float) - logits[actions].max())
        node = Node(state, acting[0], actions, list(weight / weight.sum()), value)
    elif state.is_terminal():
        node = Node(state, -2, [], [], np.zeros(num_players))
    else:
        outcomes = state.chance_outcomes()
        node = Node(state, -1, [o for o, _ in outcomes], [p for _, p in outcomes], np.zeros(num_players))
    node.total = np.zeros(num_players)
    node.taken = [0] * len(node.actions)
    node.paid = [np.zeros(num_players) for _ in node.actions]
    return node


def simulate(node, table, num_players, low, high, key, depth=0):
    """Walk from a node on; return what every player was paid from here on."""
    place = choose(node, low, high, uniform_one(fold_one(key, depth)))
    if place in node.child:
        child = node.child[place]
        fresh = False
    else:
        state = node.state.clone()
        if node.mover == -1:
            state.apply_chance(node.actions[place])
        else:
            state.apply([node.actions[place]] * num_players)
        child = node.child[place] = make(state, table, num_players)
        fresh = True
    if child.mover == -2 or (fresh and child.mover >= 0):
        gain = child.value.copy()
        child.visits += 1
        child.total = child.total + gain
    else:
        gain = simulate(child, table, num_players, low, high, key, depth + 1)
    gain = np.subtract(child.state.returns(), node.state.returns()) + gain
    node.taken[place] += 1
    node.paid[place] = node.paid[place] + gain
    node.visits += 1
    node.total = node.total + gain
    return gain


def choose(node, low, high, u, c_init=1.25, c_base=19652):
    visits = sum(node.taken)
    if node.mover == -1:
        cumulative = np.cumsum(node.prior)
        return int((cumulative > u * cumulative[-1]).argmax())
    scaled = lambda q: (q - low) / (high - low)  # noqa: E731
    c = c_init + math.log((visits + 1 + c_base + 1) / c_base)
    scores = []
    for prior, taken, paid in zip(node.prior, node.taken, node.paid, strict=True):
        q = paid[node.mover] / taken if taken else node.total[node.mover] / node.visits
        scores.append(2 * scaled(q) - 1 + c * prior * math.sqrt(visits + 1) / (1 + taken))
    return int(np.argmax(scores))


def search(state, table, num_players, simulations, bounds, key):
    root = make(state, table, num_players)
    root.visits, root.total = 1, root.value.copy()
    for n in range(simulations):
        simulate(root, table, num_players, *bounds, fold_one(fold_one(key, 1), 1 + n))
    return root
