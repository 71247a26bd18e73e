"""The trees of `minimax`: grown from the proposals of agents, all rows together, and valued from their leaves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats
from games.contract import Spec, State
from games.keys import fold, fold_one
from marl.equilibria.stage import regret_matching
from marl.rollout.agent import Agent, value_of
from marl.rollout.types import View
from marl.search.answers import expectations
from marl.search.evaluators import Playouts
from marl.search.proposals import propose
from marl.search.sampling import drawn, settle

PASSES = -1  # the candidate of a player who does not act at a node

SAMPLES = 1  # a draw of a decision's key: its samples
POSITION_DRAWN, STEPS, LEAVES = 1, 2, 3  # draws of a sample's key


@dataclass(frozen=True)
class Settings:
    """Who proposes, replies and evaluates, and how large a tree is."""

    spec: Spec
    proposers: tuple[Sequence[Agent], Sequence[Agent]]  # of the player, and of the other
    evaluate: Agent | None  # None: random playouts
    depth: int
    width: int
    samples: int
    matrix: bool  # both choose at the same time and may mix; else pure actions, the other's against the player's
    per_sample: bool
    calls: int | None

    @property
    def certain(self) -> bool:
        """Whether all samples would be the same."""
        return self.spec.perfect_information and not self.spec.chance

    @property
    def least_calls(self) -> int:
        """The most positions that are asked about for one step."""
        samples, (own, other) = 1 if self.certain else self.samples, (len(agents) for agents in self.proposers)
        if self.spec.turns == "sequential":
            return own + samples * self.width
        return own + samples * (other + self.width**2)


@dataclass(eq=False)
class Node:
    """A node of a row's tree: the positions of the samples that share it, and what can be played there."""

    row: int
    player: int  # whose tree it is
    states: list[State]
    keys: list[int]  # of the samples
    candidates: dict[int, list[int]] = field(default_factory=dict)  # by player, of those who act
    children: list[list[list["Node"]]] = field(default_factory=list)  # by own and the other's candidate, of the samples
    value: float = np.nan  # what the player gets in all, the mean over the samples

    @property
    def open(self) -> bool:
        """Whether somebody acts here."""
        return any(state.acting() for state in self.states)

    def acting(self, player: int) -> list[int]:
        """Return the samples in which a player acts."""
        return [i for i, state in enumerate(self.states) if player in state.acting()]

    def matrix(self) -> Floats:
        """Return the values below [own candidates, the other's candidates], each the mean over its samples."""
        return np.array([[_mean(cell) for cell in row] for row in self.children])


class Trees:
    """The trees of all rows of a view: one for each row, or with `per_sample` one for each of its samples."""

    def __init__(self, settings: Settings, view: View) -> None:
        self._settings, self._spec, self._view = settings, settings.spec, view
        self.calls = np.zeros(len(view), np.int64)  # [B] positions asked about
        self.illegal = np.zeros(len(view), np.int64)  # [B] proposals dropped
        self._samples = 1 if settings.certain else settings.samples
        self.roots = self._roots()
        levels = [[node for nodes in self.roots for node in nodes]]
        for depth in range(settings.depth):
            growing = self._affordable([node for node in levels[-1] if node.open], depth)
            self._propose(growing, depth)
            levels.append([child for node in growing for child in self._expand(node, depth)])
        self._evaluate([node for level in levels for node in level if not node.children])
        for level in reversed(levels[1:]):
            self._back_up([node for node in level if node.children])

    def _roots(self) -> list[list[Node]]:
        view = self._view
        assert view.states is not None, "the constructor refuses games without positions"
        roots = []
        for row, (state, player, key) in enumerate(zip(view.states(), view.player.tolist(), view.key, strict=True)):
            keys = [fold_one(fold_one(int(key), SAMPLES), n) for n in range(self._samples)]
            states = [drawn(self._spec, state, player, fold_one(k, POSITION_DRAWN)) for k in keys]
            shared = Node(row, player, states, keys)
            roots.append(_apart(shared) if self._settings.per_sample else [shared])
        return roots

    def _affordable(self, nodes: Sequence[Node], depth: int) -> list[Node]:
        """Return the nodes of those rows whose budget pays for a further step, and for all leaves after it."""
        most = self._settings.calls
        if most is None or depth == 0:
            return list(nodes)
        cost = self.calls.copy()
        for node in nodes:
            movers = [len(node.acting(player)) for player in (node.player, 1 - node.player)]
            asked = sum(n * len(agents) for n, agents in zip(movers, self._settings.proposers, strict=True))
            cost[node.row] += asked + len(node.states) * self._settings.width ** sum(n > 0 for n in movers)
        return [node for node in nodes if cost[node.row] <= most]

    def _propose(self, nodes: Sequence[Node], depth: int) -> None:
        """Set the candidates of nodes."""
        if depth == 0:
            self._propose_first(nodes)
        for side, agents in enumerate(self._settings.proposers):
            asked = [(n, i) for n, node in enumerate(nodes) for i in node.acting(_player(node, side))]
            asked = [] if side == 0 and depth == 0 else asked
            if not asked:
                continue
            at = np.array([n for n, _ in asked])
            group = np.unique(at, return_inverse=True)[1]
            view = self._seen([(nodes[n], i, _player(nodes[n], side)) for n, i in asked], fold_one(STEPS, depth))
            found, illegal = propose(agents, view, group, int(group.max()) + 1, self._settings.width)
            for n, candidates in zip(np.unique(at).tolist(), found, strict=True):
                nodes[n].candidates[_player(nodes[n], side)] = candidates
            self._count([nodes[n].row for n, _ in asked], len(agents), illegal)

    def _propose_first(self, roots: Sequence[Node]) -> None:
        """Set the player's own candidates at the roots, which it knows by what it sees."""
        view, agents = self._view, self._settings.proposers[0]
        rows = np.arange(len(view))
        found, illegal = propose(agents, view, rows, len(view), self._settings.width)
        for node in roots:
            node.candidates[node.player] = found[node.row]
        self._count(rows, len(agents), illegal)

    def _count(self, rows: Sequence[int] | NDArray[np.int64], calls: int, illegal: NDArray[np.int64] | int) -> None:
        np.add.at(self.calls, np.asarray(rows, np.int64), calls)
        np.add.at(self.illegal, np.asarray(rows, np.int64), illegal)

    def _seen(self, wanted: Sequence[tuple[Node, int, int]], name: int) -> View:
        """Return what players see who act in samples of nodes: triples of a node, a sample and a player."""
        states = [node.states[i] for node, i, _ in wanted]
        keys = np.array([node.keys[i] for node, i, _ in wanted], np.uint64)
        players = np.array([player for _, _, player in wanted])
        return View.of(self._spec, states, fold(fold(keys, name), players), first=False, players=players)

    def _expand(self, node: Node, depth: int) -> Iterator[Node]:
        """Play every pair of candidates in every sample; yield the children."""
        own, other = node.player, 1 - node.player
        for ours in node.candidates.get(own, [PASSES]):
            node.children.append([])
            for theirs in node.candidates.get(other, [PASSES]):
                joint = [0, 0]
                joint[own], joint[other] = max(ours, 0), max(theirs, 0)
                both = Node(node.row, own, [], [])
                for state, key in zip(node.states, node.keys, strict=True):
                    if theirs == PASSES or other not in state.acting() or theirs in state.legal_actions(other):
                        both.states.append(self._after(state, joint, fold_one(fold_one(key, STEPS), depth)))
                        both.keys.append(key)
                cell = [both] if self._is_shared(both, theirs, depth) else _apart(both)
                node.children[-1].append(cell)
                yield from cell

    def _after(self, state: State, joint: Sequence[int], key: int) -> State:
        after = state.clone()
        after.apply(joint)
        settle(after, key)
        return after

    def _is_shared(self, node: Node, theirs: int, depth: int) -> bool:
        """Return whether the other player chooses one reply for all samples: it is its turn, after the first move."""
        alone = (1 - node.player,)
        hidden = not self._spec.perfect_information
        return depth == 0 and theirs == PASSES and hidden and all(state.acting() == alone for state in node.states)

    def _evaluate(self, leaves: Sequence[Node]) -> None:
        """Set the values of leaves: what was paid there, and what the evaluator expects of those that are not over."""
        going = [(node, i) for node in leaves for i, state in enumerate(node.states) if state.acting()]
        expected = self._expected(going) if going else np.zeros(0)
        for node in leaves:
            node.value = paid([node])
        for (node, _), more in zip(going, expected, strict=True):
            node.value += float(more) / len(node.states)
        self._count([node.row for node, _ in going], 1, 0)

    def _expected(self, samples: Sequence[tuple[Node, int]]) -> Floats:
        """Return what the players expect from there on, in samples of nodes [B]."""
        viewed = []
        for node, i in samples:
            acting = node.states[i].acting()
            viewed.append(node.player if node.player in acting else acting[0])
        own = np.array([node.player for node, _ in samples])
        view = self._seen([(node, i, player) for (node, i), player in zip(samples, viewed, strict=True)], LEAVES)
        if self._settings.evaluate is None:
            assert view.states is not None
            playouts = Playouts(self._spec, self._settings.samples if self._settings.certain else 1)
            _, values = playouts.evaluate(view.states(), view.player, view.key)
            return np.asarray(values[np.arange(len(own)), own])
        expects = value_of(self._settings.evaluate)
        assert expects is not None, "the constructor refuses an evaluator without values"
        return np.where(view.player == own, 1.0, -1.0) * expectations(expects(view, None))

    def _back_up(self, nodes: Sequence[Node]) -> None:
        """Set the values of nodes from those of their children."""
        matrices = [node.matrix() for node in nodes]
        width = min(self._settings.width, self._spec.num_actions)
        values = _solved(matrices, width) if self._settings.matrix else [float(m.min(1).max()) for m in matrices]
        for node, value in zip(nodes, values, strict=True):
            node.value = value


def _player(node: Node, side: int) -> int:
    """Return the player of a node for side 0, and the other for side 1."""
    return node.player if side == 0 else 1 - node.player


def _apart(node: Node) -> list[Node]:
    """Return a node for each sample of a node."""
    return [Node(node.row, node.player, [state], [key]) for state, key in zip(node.states, node.keys, strict=True)]


def _mean(nodes: Sequence[Node]) -> float:
    """Return the mean value of nodes over their samples."""
    return sum(node.value * len(node.states) for node in nodes) / sum(len(node.states) for node in nodes)


def at_least(roots: Sequence[Node]) -> Floats:
    """Return what each own candidate gets against the replies that are worst for it, the mean over roots."""
    return np.asarray(np.mean([root.matrix().min(1) for root in roots], 0))


def paid(nodes: Sequence[Node]) -> float:
    """Return what nodes have paid their player so far, the mean over their samples."""
    return float(np.mean([state.returns()[node.player] for node in nodes for state in node.states]))


def _solved(matrices: Sequence[Floats], width: int) -> list[float]:
    """Return the values of matrix games of at most `width` rows and columns, in one batch.

    All are filled up to that size, whatever games are solved beside them: another size may round a value otherwise.
    """
    payoffs = np.zeros((len(matrices), width, width))
    legal = [np.zeros((len(matrices), width), bool) for _ in range(2)]
    for n, matrix in enumerate(matrices):
        payoffs[n, : matrix.shape[0], : matrix.shape[1]] = matrix
        for axis in (0, 1):
            legal[axis][n, : matrix.shape[axis]] = True
    return [float(value) for value in regret_matching(payoffs, *legal).values]
