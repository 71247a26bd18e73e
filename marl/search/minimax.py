"""Minimax over what others propose: a small tree whose moves come from agents, and whose leaves an agent evaluates
(PokéChamp, Karten et al. 2025, https://arxiv.org/abs/2503.04094).

    candidates   the player's by its proposers, the other's by its reply models, at most `width` at a node
    value        of a leaf: what was paid on the way, and what the evaluator expects from there on;
                 of a node: max over own candidates of min over the other's candidates of the values below,
                 or with `solve: matrix` the value of that matrix game, where both choose at the same time

The tree goes `depth` steps deep; a step is a joint move, or a move of the player whose turn it is. With hidden
information it is searched in `samples` positions that the player cannot tell from the true one. The first own move and
the reply to it are chosen for the mean over them, since neither player knows which one is true; further down each
position has a tree of its own. With `per_sample` the other player knows the position from the start, which is more
pessimistic. Chance is drawn by key, the same after all actions.

Deviations from the paper's code: positions are clones, so that branches never share a battle; depth counts steps (its
K = 2 is depth 1 here); no shortcut skips the search; leaves are values in the units of the game's returns.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.errors import UserError
from games.keys import draw, fold
from marl.equilibria.stage import linear_programs
from marl.rollout.agent import Agent, Stateless, keeps_memory, value_of
from marl.rollout.types import Decision, Hidden, View
from marl.search.agent import refuse_unsearchable
from marl.search.proposal_trees import Node, Settings, Trees, at_least, paid

MAXIMIN, MATRIX = "maximin", "matrix"
MIXED = 2  # a draw of a decision's key: the action, where it is drawn from a mixed strategy


class MinimaxAgent(Stateless):
    """Search before each move; the nodes of one depth of all rows are asked about in one call.

    `propose` and `reply` are agents: their candidates are the actions that they prefer (`preferences`, or their
    policy), or else the one that they choose. Several take turns: the first choices of all, then their second ones.
    `evaluate` is an agent that tells its value, by default random playouts. They are asked about positions to which
    they have not played, so they must be without memory.

    `calls` limits the positions that they are asked about for one decision: a tree grows by another step only if that,
    and the evaluation of all leaves that it may have then, can be paid for. Proposals that are illegal are dropped.

    Extras of a decision: `calls` [B] that were used, and `illegal_proposals` [B] that were dropped.
    Raises UserError for a game or an agent that does not fit, and AgentFailed where nothing legal is proposed.
    """

    revision = 1

    def __init__(
        self,
        spec: Spec,
        propose: Sequence[Agent],
        reply: Sequence[Agent],
        evaluate: Agent | None = None,
        *,
        depth: int = 2,
        width: int = 4,
        samples: int = 8,
        solve: str = MAXIMIN,
        per_sample: bool = False,
        calls: int | None = None,
    ) -> None:
        self.refuse(spec)
        for name, given in (("depth", depth), ("width", width), ("samples", samples), ("calls", calls)):
            if given is not None and given < 1:
                raise UserError(f"minimax needs {name} of at least 1, got {given}")
        if solve not in (MAXIMIN, MATRIX):
            raise UserError(f"expected solve of minimax as {MAXIMIN} or {MATRIX}, got '{solve}'")
        if per_sample and solve == MATRIX:
            raise UserError("minimax takes one of per_sample=true, which chooses pure actions, and solve=matrix")
        _refuse_agents(propose, reply, evaluate)
        matrix = solve == MATRIX
        self._settings = Settings(spec, (propose, reply), evaluate, depth, width, samples, matrix, per_sample, calls)
        least = self._settings.least_calls
        if calls is not None and calls < least:
            raise UserError(
                f"minimax may ask about {least} positions for one step, with width={width} and samples={samples}, got "
                f"calls={calls}; lower these, or raise calls"
            )

    @staticmethod
    def refuse(spec: Spec) -> None:
        """Raise UserError for a game that does not fit."""
        refuse_unsearchable(spec, "minimax")
        if spec.num_players != 2 or spec.payoff != "zero_sum" or isinstance(spec.action, Box):
            raise UserError(
                f"minimax plays zero-sum games of two players, and '{spec.name}' is none; use rollout or uct"
            )

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        search = Trees(self._settings, view)
        actions = [self._played(nodes, int(key)) for nodes, key in zip(search.roots, view.key, strict=True)]
        return Decision(np.array(actions, np.int64), {"calls": search.calls, "illegal_proposals": search.illegal}), None

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return what the search expects from here on [B]."""
        roots = Trees(self._settings, view).roots
        return np.array([self._worth(nodes) - paid(nodes) for nodes in roots], np.float32)

    def _played(self, nodes: Sequence[Node], key: int) -> int:
        """Return the action to play at the roots of a row's trees, which share the player's candidates."""
        own = nodes[0].candidates[nodes[0].player]
        if not self._settings.matrix:
            return own[int(at_least(nodes).argmax())]  # of equals the one that was proposed first
        mixed = linear_programs(nodes[0].matrix()[None]).rows
        return own[int(draw(fold(key, MIXED), mixed)[0])]

    def _worth(self, nodes: Sequence[Node]) -> float:
        """Return the value of a row's roots."""
        if self._settings.matrix:
            return float(linear_programs(nodes[0].matrix()[None]).values[0])
        return float(at_least(nodes).max())


def _refuse_agents(propose: Sequence[Agent], reply: Sequence[Agent], evaluate: Agent | None) -> None:
    for role, agents in (("propose", propose), ("reply", reply), ("evaluate", [evaluate] if evaluate else [])):
        if not agents and role != "evaluate":
            raise UserError(f"minimax needs an agent of {role}=..., got none; name one, or leave the argument out")
        if any(keeps_memory(agent) for agent in agents):
            raise UserError(
                f"minimax asks about positions that nobody has played to, and an agent of {role}=... decides by what "
                "it remembers; name one without memory, such as a network without recurrence or search"
            )
    if evaluate is not None and value_of(evaluate) is None:
        raise UserError("evaluate=... needs an agent that tells its value, and this one does not; leave it out")
