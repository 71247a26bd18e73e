"""Terms of the reward: what a learner is paid in training beside the game's own reward.

    entropy      −log of the mean policy of some agents at the action that was chosen     (Zhao et al. 2023)
    cross_play   in episodes with an opponent, the reward with its sign turned             (Charakorn et al. 2023)

A term is computed from what was recorded, in the run's own process, before the learner sees it. So no learner knows of
it, and it does not depend on who played the games, or where. The returns that are logged and evaluations are of the
game's own reward; what a term has paid is logged beside them.

Axis letters: T new steps of a trajectory, E environments, N players, B rows, A actions, K agents.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats
from games.contract import Discrete, Spec
from games.errors import UserError, nearest, written
from games.keys import stream
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrants, load_identified
from marl.agents.references import not_to_run
from marl.rollout.agent import Policy, keeps_memory, policy_of
from marl.rollout.training_episodes import Episodes
from marl.rollout.types import Hidden, Trajectory, View
from marl.training.config import OpponentsConfig, RewardTermConfig

LEAST = 1e-6  # the least probability of the mean policy: no decision is paid more than −log of it, 13.8 nats
KEY = stream(0, "reward terms")  # a policy that is told does not depend on it


class RewardTerm(ABC):
    """Pay a learner for its decisions. Raises UserError for a game, agents or opponents that it does not fit."""

    asks: ClassVar[bool] = False  # whether it needs agents

    def __init__(self, weight: float, spec: Spec, agents: Sequence[Entrant], opponents: OpponentsConfig) -> None:
        self.weight, self.spec = weight, spec

    def begin(self, num_envs: int) -> None:  # noqa: B027 - not every term follows episodes
        """Begin a stretch: the episodes that were open have been dropped."""

    @abstractmethod
    def paid(self, trajectory: Trajectory, mine: NDArray[np.bool_]) -> Floats:
        """Return what is added to the reward of the new steps [T, E, N]; `mine` [T, E, N]: the learner holds the seat.

        It is called for each recording of a stretch, in order.
        """


class Entropy(RewardTerm):
    """Pay −weight · log π̄(a | o) for each decision, π̄ the mean policy of K agents.

    Agents of policies and of values both tell what they do: one that always plays its best action has probability 1
    there. With the members of a population as they were when the round began, the learner itself among them, this is
    the reward of maximum entropy population-based training (Zhao et al. 2023, https://arxiv.org/abs/2112.11701): what
    nobody does is worth more. π̄ is at least LEAST, so an action that no agent would choose has a finite worth.
    """

    asks = True

    def __init__(self, weight: float, spec: Spec, agents: Sequence[Entrant], opponents: OpponentsConfig) -> None:
        super().__init__(weight, spec, agents, opponents)
        if not isinstance(spec.action, Discrete):
            raise UserError(f"entropy needs discrete actions, and '{spec.name}' has continuous ones; leave it out")
        self._policies: list[Policy] = []
        for entrant in agents:
            policy = policy_of(entrant.agent)
            if policy is None or entrant.parts:
                raise UserError(
                    f"entropy asks agents for their policies, and '{entrant.reference}' tells none; name agents that "
                    "do, such as runs of ippo or qmix"
                )
            self._policies.append(policy)
        self._agents = [entrant.agent for entrant in agents]

    def begin(self, num_envs: int) -> None:
        seats = num_envs * self.spec.num_players
        self._hidden: list[Hidden] = [agent.initial_hidden(seats) for agent in self._agents]
        self._decided = np.zeros((num_envs, self.spec.num_players), bool)  # [E, N] in this episode

    def paid(self, trajectory: Trajectory, mine: NDArray[np.bool_]) -> Floats:
        acts = trajectory.acting[trajectory.recorded : -1] & mine
        amounts = np.zeros(acts.shape)
        t, e, n = np.nonzero(acts)
        first = self._first(trajectory, acts)  # also where nobody acts: an episode may begin there
        if len(t) == 0:
            return amounts
        index = trajectory.index[trajectory.recorded : -1][acts]
        view = View(
            obs=trajectory.obs[index],
            action_mask=trajectory.action_mask[index],
            player=n,
            row=e * self.spec.num_players + n,
            first=first,
            key=np.full(len(t), KEY, np.uint64),
        )
        action = trajectory.action[trajectory.recorded :][acts]
        each = [self._probability(k, view, t, action) for k in range(len(self._policies))]
        amounts[t, e, n] = -self.weight * np.log(np.maximum(np.mean(each, axis=0), LEAST))
        return amounts

    def _first(self, trajectory: Trajectory, acts: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether each decision [B] is the player's first one of its episode."""
        firsts = []
        for begins, acting in zip(trajectory.first[trajectory.recorded : -1], acts, strict=True):
            self._decided[begins] = False
            firsts.append(~self._decided[acting])
            self._decided |= acting
        return np.concatenate(firsts)

    def _probability(self, k: int, view: View, t: NDArray[np.int64], action: NDArray[np.int64]) -> Floats:
        """Return the probability [B] with which agent k chooses each action; `t` [B] are the decisions' steps."""
        agent, hidden = self._agents[k], self._hidden[k]
        calls = [np.flatnonzero(t == step) for step in np.unique(t)] if keeps_memory(agent) else [np.arange(len(t))]
        found = np.zeros(len(t))
        for rows in calls:
            some, own = view.rows(rows), None
            if hidden is not None:
                if some.first.any():
                    hidden[some.row[some.first]] = agent.initial_hidden(int(some.first.sum()))
                own = hidden[some.row]
            log_probs, own = self._policies[k](some, own)
            if hidden is not None:
                hidden[some.row] = own
            found[rows] = np.exp(log_probs[np.arange(len(rows)), action[rows]].astype(np.float64))
        return found


class CrossPlay(RewardTerm):
    """Pay −weight · r in place of the reward r in episodes in which an opponent plays.

    Where opponents play in half of the episodes, the learner maximises self-play minus weight times cross-play with
    them (LIPO: Charakorn et al. 2023, https://openreview.net/forum?id=UkU05GOH7_6): it learns to play well with itself
    in a way in which they do not play well with it.
    """

    def __init__(self, weight: float, spec: Spec, agents: Sequence[Entrant], opponents: OpponentsConfig) -> None:
        super().__init__(weight, spec, agents, opponents)
        if not (opponents.agents or opponents.past) or not 0 < opponents.share < 1:
            raise UserError(
                "cross_play needs opponents in a part of the episodes, and self-play in the others; set "
                "opponents.agents, and opponents.share between 0 and 1"
            )

    def paid(self, trajectory: Trajectory, mine: NDArray[np.bool_]) -> Floats:
        strange = (~mine & trajectory.played[trajectory.recorded :, :, None]).any(2, keepdims=True)
        reward = trajectory.reward[trajectory.recorded :].astype(np.float64)
        return np.where(strange & mine, -(1 + self.weight) * reward, 0.0)


TERMS: dict[str, type[RewardTerm]] = {"entropy": Entropy, "cross_play": CrossPlay}


class RewardTerms:
    """The terms of a run, and what they pay from stretch to stretch.

    In a game of a team all players are paid the same, so each is paid the sum of what its seats are.
    """

    def __init__(self, terms: Mapping[str, RewardTerm], agents: Sequence[Sequence[Entrant]], spec: Spec) -> None:
        """`agents` are those of each term."""
        self.asked = tuple(tuple(entrant.digest for entrant in own) for own in agents)
        self._terms, self._spec = terms, spec

    def begin(self, num_envs: int) -> None:
        """Begin a stretch."""
        self._episodes = {name: Episodes(num_envs, self._spec.num_players) for name in self._terms}
        self._before = {name: np.zeros((0, num_envs, self._spec.num_players)) for name in self._terms}
        for term in self._terms.values():
            term.begin(num_envs)

    def shape(self, trajectory: Trajectory, mine: Sequence[int]) -> tuple[Trajectory, dict[str, float]]:
        """Return a recording with the terms in its reward, and what each has paid.

        That is the mean over the learner's seats of the episodes that ended, each the sum over its steps; there is none
        where no episode ended.
        """
        if not self._terms:
            return trajectory, {}
        own = np.isin(trajectory.seating[trajectory.recorded :], list(mine))
        shaped, metrics = trajectory.reward.astype(np.float64), dict[str, float]()
        for name, term in self._terms.items():
            paid = term.paid(trajectory, own)
            if self._spec.payoff == "team":
                paid = np.broadcast_to(paid.sum(2, keepdims=True), paid.shape)
            # Steps that the previous recording had too are paid what they were paid there.
            before = self._before[name]
            paid = self._before[name] = np.concatenate([before[len(before) - trajectory.recorded :], paid])
            shaped += paid
            ended = self._episodes[name].add(replace(trajectory, reward=paid.astype(np.float32)))
            counted = np.isin(ended.seating, list(mine))
            if counted.any():
                metrics[f"reward_terms/{name}"] = float(ended.returns[counted].mean())
        return replace(trajectory, reward=shaped.astype(np.float32)), metrics


def load_reward_terms(
    configs: Sequence[RewardTermConfig],
    opponents: OpponentsConfig,
    spec: Spec,
    device: str = "cpu",
    agents: Mapping[str, str] | None = None,
) -> RewardTerms:
    """Return the terms that a config names, for a game; `agents` are the references of those named by digest.

    Raises UserError for a name that is unknown or given twice, for a term that does not fit, and for a game that is
    zero-sum: with a term in it, it would not be.
    """
    terms: dict[str, RewardTerm] = {}
    asked: list[list[Entrant]] = []
    if configs and spec.payoff == "zero_sum":
        raise UserError(
            f"a reward term changes what players are paid, and '{spec.name}' is zero-sum, which learners rely on; "
            "leave reward_terms out"
        )
    for config in configs:
        if config.name not in TERMS:
            raise UserError(
                f"expected the name of a reward term, {' or '.join(TERMS)}, got {written(config.name)}"
                f"{nearest(config.name, TERMS)}"
            )
        if config.name in terms:
            raise UserError(f"expected each reward term once, got '{config.name}' twice; leave one out")
        kind = TERMS[config.name]
        if kind.asks != bool(config.agents):
            wanted = "agents, whose policies it asks for" if kind.asks else "no agents"
            raise UserError(f"expected {wanted}, of the reward term '{config.name}', got {len(config.agents)}")
        own = [entrant for text in config.agents for entrant in _entrants(text, spec, device, agents or {})]
        terms[config.name] = kind(config.weight, spec, own, opponents)
        asked.append(own)
    return RewardTerms(terms, asked, spec)


def _entrants(text: str, spec: Spec, device: str, agents: Mapping[str, str]) -> Sequence[Entrant]:
    """Return the agents that a reference of a term stands for; raises UserError for a user's class, and for a server.

    A config may name none, since a term asks nobody outside the run's own process.
    """
    if identified := load_identified(text, agents, spec, device):
        return [identified]
    if what := not_to_run(text):
        raise UserError(
            f"expected checkpoints or built-in agents in a reward term, got {written(text)}, which is {what}"
        )
    return list(load_entrants(text, spec, device).values())
