"""The agents that play by policy networks: one network, or several of one shape at once."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.keys import draw
from marl.algorithms.opponent_shaping.networks import Head
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.agent import LogProbs, log_probs_of
from marl.rollout.types import Decision, Hidden, View


class ActorAgent:
    """Play the policy network `actor`: sample by the decision's key, or take the most probable action if `greedy`.

    With probability `epsilon` the action is drawn uniformly from the legal ones instead.
    """

    def __init__(self, actor: Head, device: str, *, epsilon: float = 0.0, greedy: bool = False) -> None:
        self._epsilon, self._greedy, self._memory = epsilon, greedy, actor.memory
        # Large blocks of rows save the cost of calls, above all of a network without memory, which is small.
        self._actor = Rowwise(actor, device, largest=(4 if self._memory else 16) * BLOCK)

    def initial_hidden(self, rows: int) -> Hidden:
        return _initial_hidden(rows, self._memory)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        probabilities, after = self._decide(view, hidden)
        return Decision(draw(view.key, probabilities)), after

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        probabilities, after = self._decide(view, hidden)
        return log_probs_of(probabilities), after

    def _decide(self, view: View, hidden: Hidden) -> tuple[NDArray[np.float32], Hidden]:
        said = self._actor.ask("decide", *_arrays(view, hidden))
        return _split(said, view, hidden, epsilon=self._epsilon, greedy=self._greedy)


class ActorEnsemble:
    """Play the K policy networks that are stacked in `actors` (networks.py), in batched products.

    All its seats act at every step of a rollout, so that all calls have one shape: what it says for a row does not
    depend on the other rows.
    """

    def __init__(self, actors: Head, device: str, *, epsilon: float) -> None:
        self.actors, self._device, self._epsilon = actors, device, epsilon

    def initial_hidden(self, rows: int) -> Hidden:
        return _initial_hidden(rows, self.actors.memory)

    def act(self, view: View, member: NDArray[np.int64], hidden: Hidden) -> tuple[Decision, Hidden]:
        probabilities, after = self._decide(view, member, hidden)
        return Decision(draw(view.key, probabilities)), after

    def policy(self, view: View, member: NDArray[np.int64], hidden: Hidden) -> tuple[LogProbs, Hidden]:
        probabilities, after = self._decide(view, member, hidden)
        return log_probs_of(probabilities), after

    def _decide(self, view: View, member: NDArray[np.int64], hidden: Hidden) -> tuple[NDArray[np.float32], Hidden]:
        count = np.bincount(member, minlength=len(next(self.actors.parameters())))
        grouped = np.argsort(member, kind="stable")
        place = np.empty_like(grouped)  # [B] of each row among those of its member, which are padded to one number
        place[grouped] = np.arange(len(member)) - np.repeat(np.cumsum(count) - count, count)
        place += member * count.max()

        def of_each(array: NDArray[Any]) -> Tensor:
            rows = np.zeros((len(count) * count.max(), *array.shape[1:]), array.dtype)
            rows[place] = array
            return torch.from_numpy(rows.reshape(len(count), -1, *array.shape[1:])).to(self._device)

        with torch.inference_mode():
            said = self.actors.decide(*map(of_each, _arrays(view, hidden)))
        return _split(said.flatten(0, 1).cpu().numpy()[place], view, hidden, epsilon=self._epsilon)


def _initial_hidden(rows: int, memory: int) -> Hidden:
    return np.zeros((rows, memory), np.float32) if memory else None


def _arrays(view: View, hidden: Hidden) -> list[NDArray[Any]]:
    return [view.obs, view.action_mask, *([] if hidden is None else [hidden])]


def _split(
    said: NDArray[np.float32], view: View, hidden: Hidden, *, epsilon: float, greedy: bool = False
) -> tuple[NDArray[np.float32], Hidden]:
    """Return the probabilities [B, A] and the next hidden states, from what `Head.decide` said [B, A (+ H)]."""
    actions = view.action_mask.shape[1]
    probabilities = np.exp(said[:, :actions])
    if greedy:
        probabilities = np.eye(actions, dtype=np.float32)[probabilities.argmax(1)]
    if epsilon:
        uniform = view.action_mask / view.action_mask.sum(1, keepdims=True)
        probabilities += epsilon * (uniform - probabilities)
    return probabilities, None if hidden is None else said[:, actions:]
