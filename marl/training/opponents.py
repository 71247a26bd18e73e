"""The opponents of a run: agents that its config lists, and its own past, each with a weight.

An entry of the list that stands for several agents, as a population does, shares its weight equally among them; the
past shares its weight by the rule `past.draw`. A weight may depend on the seat that the learner keeps. At the start of
each stretch the weights are fixed, and in the stretch every episode draws its opponent by them
(marl/rollout/seating.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from games import rounding
from games.arrays import Floats
from games.contract import Spec
from games.errors import UserError
from games.references import Reference
from marl.agents import checkpoint
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrant, load_entrants, load_identified
from marl.agents.references import ALGORITHM
from marl.learning.learner import Learner
from marl.rollout.seating import Draw, Seating, by_turns
from marl.rollout.training_episodes import Ended, opened
from marl.rollout.types import Trajectory
from marl.training.config import OpponentConfig, OpponentsConfig, PastConfig
from marl.training.pfsp import Tally, hard


@dataclass(frozen=True)
class Opponent:
    """An agent that plays in training, with its weights and the name under which it is logged."""

    entrant: Entrant
    weights: Floats  # [N] by the seat that the learner keeps
    label: str


def listed(config: OpponentsConfig, spec: Spec, device: str, agents: Mapping[str, str] | None = None) -> list[Opponent]:
    """Return the agents that a config lists; `agents` are the references of those that it names by digest.

    Raises UserError for one that cannot be built, cannot play the game, or has not one weight for each seat.
    """
    found = []
    for entry in config.agents:
        weights = _weights(entry, spec)
        if identified := load_identified(entry.agent, agents or {}, spec, device):
            identified.refuse_beside_others()
            found.append(Opponent(identified, weights, label_of(identified.digest)))
        else:
            entrants = list(load_entrants(entry.agent, spec, device).values())
            for each in entrants:
                each.refuse_beside_others()
            found += [Opponent(each, weights / len(entrants), each.name) for each in entrants]
    return found


def label_of(digest: str) -> str:
    """Return the name under which an opponent is logged that the config names by its digest."""
    return digest[:12]


def _weights(entry: OpponentConfig, spec: Spec) -> Floats:
    """Return the weight of an entry by the seat that the learner keeps [N]."""
    if isinstance(entry.weight, tuple) and len(entry.weight) != spec.num_players:
        raise UserError(
            f"expected a weight of '{entry.agent}' for each of the {spec.num_players} seats of '{spec.name}' that the "
            f"learner may keep, got {len(entry.weight)}"
        )
    return np.broadcast_to(np.asarray(entry.weight, np.float64), spec.num_players)


class Past:
    """The learner's own past: the agents of the run's newest checkpoints, the oldest first.

    With `prioritised` they are drawn by the learner's win rate against each (pfsp.hard). The win rate is that of
    training episodes of earlier stretches, so the weights of a stretch are known when it begins.
    Raises UserError for several learners, and for counting wins in a game that is not zero-sum.
    """

    def __init__(self, config: PastConfig, learner: Learner, algorithm: str, device: str) -> None:
        if len(learner.leaders()) > 1:
            raise UserError(
                f"the past of a run is that of one learner, and {algorithm} trains several; leave 'opponents.past' out "
                "and name checkpoints in 'opponents.agents'"
            )
        if config.draw == "prioritised" and learner.spec.payoff != "zero_sum":
            raise UserError(
                f"draw: prioritised counts wins, and '{learner.spec.name}' is not zero-sum; use draw: uniform"
            )
        self._config, self._spec, self._algorithm, self._device = config, learner.spec, algorithm, device
        self._snapshots: dict[int, Entrant] = {}  # by step
        self._results: dict[int, Tally] = {}

    @property
    def window(self) -> int | None:
        """How many checkpoints play at most; None: all."""
        return self._config.checkpoints

    def add(self, folder: Path, step: int) -> None:
        """Add a new checkpoint, and forget those that have become too old."""
        # A class that is not registered is named, as a checkpoint does not import it by itself.
        arguments = ((ALGORITHM, self._algorithm),) if ":" in self._algorithm else ()
        text = str(Reference("", str(folder), arguments)) if arguments else str(folder)
        self._snapshots[step] = load_entrant(text, self._spec, self._device)
        for old in list(self._snapshots)[: -self.window] if self.window else []:
            del self._snapshots[old]
            self._results.pop(old, None)

    def restore(self, folder: Path, results: Sequence[Mapping[str, Any]]) -> None:
        """Load the snapshots and results as they were when a checkpoint had been written; raises UserError."""
        try:
            for ancestor, step in checkpoint.line_of(folder, self.window):
                self.add(ancestor, step)
        except checkpoint.Damaged as error:
            why = str(error).rpartition("; ")[0]
            raise UserError(
                f"the run plays against its own past, and {why}; put back a copy, or name another --run-dir"
            ) from error
        self._results = {
            each["step"]: Tally(each["episodes"], each["score"]) for each in results if each["step"] in self._snapshots
        }

    def state(self) -> list[dict[str, Any]] | None:
        """Return the results for a checkpoint; None where they are not counted."""
        if self._config.draw != "prioritised":
            return None
        return [{"step": step} | vars(results) for step, results in self._results.items()]

    def opponents(self) -> list[Opponent]:
        """Return the snapshots with their weights."""
        weights = np.array([self._weight(step) for step in self._snapshots])
        weights *= self._config.weight / weights.sum()
        pairs = zip(self._snapshots.values(), weights.tolist(), strict=True)
        return [Opponent(entrant, np.full(self._spec.num_players, weight), "past") for entrant, weight in pairs]

    def settle(self, met: Sequence[tuple[int, float]]) -> None:
        """Count the episodes and the score of a stretch against each snapshot."""
        for step, (episodes, score) in zip(self._snapshots, met, strict=True):
            self._results[step] = self._results.get(step, Tally()).then(episodes, score)

    def _weight(self, step: int) -> float:
        if self._config.draw != "prioritised":
            return 1.0
        return hard(self._results.get(step, Tally()).win_rate)


class Opponents:
    """Whom a learner meets in training, from stretch to stretch.

    Raises UserError where all weights are 0 for a seat that the learner may keep, and for opponents in a game of one
    player, but in runs that were begun before.
    """

    def __init__(self, config: OpponentsConfig, spec: Spec, listed: Sequence[Opponent], past: Past | None) -> None:
        if spec.num_players == 1 and (listed or past) and config.dealt == "by_episode":
            raise UserError(f"'{spec.name}' is a game of one player, who meets no opponents; leave them out")
        without = np.flatnonzero(sum((each.weights for each in listed), np.zeros(spec.num_players)) <= 0)
        if listed and past is None and len(without):
            raise UserError(
                f"expected an opponent with a weight above 0 for every seat that the learner may keep, and for seat "
                f"{without[0]} all weights are 0; give one a weight there"
            )
        self._config, self._spec, self.listed, self._past = config, spec, listed, past
        self.present: list[Opponent] = []  # in this stretch, in the order of the roster
        self._draw: Draw | None = None
        self._count()

    def begin(self, own: Seating, leaders: Sequence[int], actors: int) -> tuple[Seating, Draw | None]:
        """Begin a stretch; return its seating [E, N] and how opponents take seats of it.

        `own` is the seating without opponents, of the learner's `actors`.
        """
        self.present = [*self.listed, *(self._past.opponents() if self._past else ())]
        self._draw = None
        if self._config.dealt == "by_turns":
            return by_turns(own, leaders, actors, len(self.present), self._config.share), None
        if self.present:
            weights = np.stack([each.weights for each in self.present], axis=1)
            self._draw = Draw(actors, weights, self._config.share, leaders, self._spec.side_of)
        self._count()
        return own, self._draw

    def _count(self) -> None:
        """Count from zero, by opponent."""
        self._met = np.zeros(len(self.present), np.int64)  # episodes that ended
        self._score = np.zeros(len(self.present))  # wins, and half of the draws

    def watch(self, trajectory: Trajectory, ended: Ended) -> dict[str, float]:
        """Count the episodes that ended in a recording; return how many opened, and how they ended, by label."""
        if self._draw is None:
            return {}
        opponent, own_return, score = self._results(ended)
        np.add.at(self._met, opponent, 1)
        np.add.at(self._score, opponent, score)
        opened_against = opened(trajectory).max(1) - self._draw.first
        metrics: dict[str, float] = {}
        for label in dict.fromkeys(each.label for each in self.present):
            entries = [entry for entry, each in enumerate(self.present) if each.label == label]
            metrics[f"against/{label}/episodes"] = float(np.isin(opened_against, entries).sum())
            returns = own_return[np.isin(opponent, entries)]
            if len(returns):
                metrics[f"against/{label}/return_mean"] = float(returns.mean())
                metrics[f"against/{label}/score_mean"] = float(score[np.isin(opponent, entries)].mean())
                metrics[f"against/{label}/ended"] = float(len(returns))
        return metrics

    def _results(self, ended: Ended) -> tuple[Any, Any, Any]:
        """Return the opponent, the learner's return and its score [K'] of the episodes in which there was an opponent.

        It wins where its side is paid more than the mean of the others, by more than rounding makes up.
        """
        assert self._draw is not None
        against = ended.seating.max(1) - self._draw.first  # the opponents are the last of the roster
        rows = np.flatnonzero(against >= 0)
        returns, spec = self._spec.by_side(ended.returns[rows]), self._spec
        kept = (ended.seating[rows] < self._draw.first).argmax(1)
        own = returns[np.arange(len(rows)), spec.side_of[kept]]
        lead = own - (returns.sum(1) - own) / (spec.sides - 1 or 1)
        largest = max(map(len, spec.teams), default=1)
        bound = (ended.rounding[rows] + rounding.of_sums(spec, 1) * ended.length[rows]) * largest
        return against[rows], own, (1 + rounding.sign(lead, bound)) / 2

    def settle(self) -> list[dict[str, Any]] | None:
        """End a stretch; return what a checkpoint keeps of the results against the past, if they are counted."""
        if self._past is None:
            return None
        first = len(self.listed)
        self._past.settle(list(zip(self._met[first:].tolist(), self._score[first:].tolist(), strict=True)))
        return self._past.state()

    def add(self, folder: Path, step: int) -> None:
        """Add a checkpoint of the run, which is an opponent from the next stretch on."""
        if self._past:
            self._past.add(folder, step)

    def restore(self, folder: Path, about: checkpoint.About) -> None:
        """Return to where a checkpoint was written; raises UserError if an earlier one is missing or damaged."""
        if self._past:
            self._past.restore(folder, about.get("past") or ())

    def kept(self, keep: int | None) -> int | None:
        """Return how many checkpoints a run keeps: `keep`, and what it needs to go on from one that can be resumed."""
        if self._past is None or keep is None:
            return keep
        return None if self._past.window is None else max(keep, self._past.window + checkpoint.RESUMABLE - 1)

    def close(self) -> None:
        """End the processes in which opponents play."""
        for each in self.listed:
            each.entrant.rest()
