"""Agents in solved games: how often an agent keeps the value of a position, and whether it can be beaten."""

import zlib
from collections.abc import Sequence

from games.contract import Spec, State
from games.errors import UserError
from games.keys import fold
from games.registry import load
from games.solvers import positions
from games.solvers.exhaustive import Ends, every_end
from games.solvers.positions import Accuracy
from marl.rollout.agent import Agent
from marl.rollout.types import View

LABELLED = "openspiel:connect_four"
LIMIT = 100_000  # the largest number of positions at which an agent is asked


class Chooser:
    """An agent as a function of positions: each is its first decision, with a key made from the position."""

    def __init__(self, agent: Agent, spec: Spec, key: int) -> None:
        self._agent, self._spec, self._key = agent, spec, key

    def __call__(self, states: Sequence[State]) -> list[int]:
        names = [zlib.crc32(repr(state.key()).encode()) for state in states]
        view = View.of(self._spec, states, fold(self._key, names), first=True)
        return [int(action) for action in self._agent.act(view, self._agent.initial_hidden(len(view)))[0].action]


def accuracy(agent: Agent, spec: Spec, key: int, name: str = "thousand") -> Accuracy:
    """Return an agent's accuracy at a set of solved positions of connect four; raises UserError as `load` does."""
    return positions.accuracy(positions.load(name), Chooser(agent, spec, key))


def all_ends(agent: Agent, text: str, spec: Spec, key: int) -> list[Ends]:
    """Play every line of the other players against an agent, in each seat; raises UserError for too many positions."""
    if not spec.searchable or "|" in spec.name:
        raise UserError(f"expected a game with positions, without wrappers, got '{spec.name}'; leave --solved out")
    if not spec.perfect_information:
        raise UserError(
            f"expected a game of perfect information, got '{spec.name}'; --nash-conv is for games that hide something"
        )
    game = load(text)
    return [every_end(game, Chooser(agent, spec, key), seat, LIMIT) for seat in range(spec.num_players)]
