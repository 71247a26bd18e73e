"""What the learners that shape one opponent share: networks, critic, past selves, and the update.

    trajectory -> episodes of both players -> the algorithm's loss on its own decisions, SARSA for its Q -> one step

The opponent is the learner itself, one of its past selves, or a stranger. A stranger's networks are unknown, so the
learner fits a model of it, a policy and a Q, to its observations, actions and rewards. An algorithm (loqa.py, lola.py)
defines its loss.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.opponent_shaping.agent import ActorAgent, ActorEnsemble
from marl.algorithms.opponent_shaping.encounters import Encounters, Episodes, Estimates, Side, of_seats, other_seat
from marl.algorithms.opponent_shaping.networks import Head, OpponentShapingConfig, PolicyAndQ, stacked
from marl.base.memory import refuse_beyond_memory
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.networks import masked_log_probs, to_be_loaded
from marl.learning.optimizers import Adam
from marl.rollout.agent import Agent, Member
from marl.rollout.seating import Seating
from marl.rollout.types import Tensors, Trajectory, prefixed, under

STATES = ("start", "CC", "CD", "DC", "DD")  # the last joint action of a 2x2 matrix game, own action first


class OpponentShapingLearner(Learner):
    """The update of a learner with one opponent; an algorithm defines `loss`.

    Raises UserError for a game that does not have two players who always decide at the same time, that has continuous
    actions or no known length, and for more past selves than fit into memory.
    """

    Config: ClassVar[type[BaseModel]] = OpponentShapingConfig
    config: OpponentShapingConfig
    name: ClassVar[str]
    MOST_SEATED = 16  # past selves that play at a time

    def __init__(self, config: OpponentShapingConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(self.name, spec)
        self.notes = self.warn(spec)
        self.config, self.spec, self.device, self.key = config, spec, device, key
        self._length = spec.max_length or 0  # T: refused where unknown
        self.rollout_length = self._length + 1  # one episode, and the step that resets the environment
        self.updates = 0
        self.me, self.other = self._networks("me"), self._networks("other")  # `other` models strangers
        self.target, self.other_target = (deepcopy(n.critic).requires_grad_(False) for n in (self.me, self.other))
        self._optimizers = {
            "actor": self._adam(config.learning_rate, *self.improved()),
            "critic": self._adam(config.critic_learning_rate, self.me.critic),
            "other": self._adam(config.critic_learning_rate, self.other),
        }
        seated = min(config.past_selves, self.MOST_SEATED)
        self._past_selves = [self._networks("me").requires_grad_(False) for _ in range(seated)]
        self._past_weights = torch.zeros(0, len(self._weights()))  # [past selves, parameters] the oldest first
        size = self._past_weights.element_size() * self._past_weights.shape[1]
        # Adding a past self copies all: twice the memory for a moment. A checkpoint is written without a copy.
        refuse_beyond_memory(config.past_selves, f"past selves of {self.name}", size, 2, "past_selves")
        self._ensemble = ActorEnsemble(self.me.actor, device, epsilon=config.epsilon)
        self._seat_past_selves(self._weights().repeat(seated, 1))
        me = ActorAgent(self.me.actor, device, epsilon=config.epsilon)
        self._actors: list[Agent] = [me, *(Member(self._ensemble, k) for k in range(seated))]

    @abstractmethod
    def loss(self, encounters: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the policy, and metrics."""

    def reward_offset(self, reward: Tensor) -> float:
        """Return the constant to subtract from the rewards [T, EN] of an update.

        All episodes have one length, so a constant changes no preference between policies.
        """
        return 0.0

    def warn(self, spec: Spec) -> list[str]:
        """Return warnings about how the algorithm fits the game, for the user."""
        return []

    def improved(self) -> list[nn.Module]:
        """Return the networks that `loss` trains."""
        return [self.me.actor]

    @classmethod
    def needs(cls, config: OpponentShapingConfig, spec: Spec) -> Needs:
        return {"past_every": (config.past_selves > 0, "past_selves above 0")}

    def actors(self) -> Sequence[Agent]:
        return self._actors

    def agent(self) -> Agent:
        return ActorAgent(self.me.actor, self.device)

    def leaders(self) -> Sequence[int]:
        return [0]

    def seating(self, num_envs: int) -> Seating:
        """Seat the learner against itself; with past selves, against each of them in turn, alternating the seats."""
        if not self._past_selves:
            return super().seating(num_envs)
        env, player = np.arange(num_envs)[:, None], np.arange(2)[None, :]
        return np.where(player == env % 2, 0, 1 + env // 2 % len(self._past_selves))

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        paid = Episodes.of(trajectory, self._length, self.device)
        episodes = replace(paid, reward=paid.reward - self.reward_offset(paid.reward))
        seated = self._seated(trajectory.seating[0].reshape(-1), mine)
        (_, own_seats), (_, stranger_seats) = seated[:2]
        if len(own_seats) == 0:
            return {"updates": self.updates}
        estimates = self._estimates(self.me, episodes, own_seats)
        loss, metrics = self.loss(self._encounters(episodes, seated, estimates))
        entropy = -(estimates.log_probs[:-1].exp() * estimates.log_probs[:-1]).sum(2).mean()
        critic_loss = self._sarsa(episodes, own_seats, estimates, self.target)
        losses = {"actor": loss - config.entropy_coefficient * entropy, "critic": critic_loss}
        if len(stranger_seats):
            losses["other"] = self._model_loss(episodes, stranger_seats)
        norms = self._descend(losses)
        self._average(self.target, self.me.critic)
        if len(stranger_seats):
            self._average(self.other_target, self.other.critic)
        self.updates += 1
        self._add_past_self()
        metrics |= {
            "reward": of_seats(paid.reward, own_seats).mean(),
            "reward_of_the_other": of_seats(paid.reward, other_seat(own_seats)).mean(),
            "entropy": entropy,
            "critic_loss": critic_loss,
            "grad_norm": norms["actor"],
            "value": estimates.value[:-1].mean(),
        }
        logged = {name: float(value.detach()) for name, value in metrics.items()}
        return logged | self.cooperation() | {"updates": self.updates, "past_selves": len(self._past_weights)}

    @property
    def remembers_last(self) -> bool:
        """Whether a policy without memory plays a repeated matrix game whose observation is the last joint action."""
        spec = self.spec
        observed = spec.name.startswith("matrix") and spec.observation.shape == (1 + spec.num_actions**2,)
        return observed and not spec.action_sizes and self.config.actor_memory == 0

    def cooperation(self) -> dict[str, float]:
        """Return the probability of the first action in each of STATES, for matrix games of two actions."""
        if not self.remembers_last or self.spec.num_actions != 2:
            return {}
        with torch.no_grad():
            first = self.me.actor(torch.eye(len(STATES), device=self.device)[:, None])[:, 0].softmax(1)[:, 0]
        return {f"cooperation.{state}": p for state, p in zip(STATES, first.tolist(), strict=True)}

    def _seated(self, holder: NDArray[np.int64], mine: Sequence[int]) -> list[tuple[PolicyAndQ, Tensor]]:
        """Return pairs of networks and the seats they stand for.

        The first pair is the learner, the second the model of strangers with their seats opposite the learner; one pair
        for each past self follows. `holder` [EN] is the roster entry of each seat.
        """
        opponent = holder.reshape(-1, 2)[:, ::-1].reshape(-1)
        stranger = ~np.isin(holder, mine) & (opponent == mine[0])
        masks = [holder == mine[0], stranger, *(holder == entry for entry in mine[1:])]
        seats = (torch.from_numpy(np.flatnonzero(mask)).to(self.device) for mask in masks)
        return list(zip([self.me, self.other, *self._past_selves], seats, strict=True))

    def _encounters(self, episodes: Episodes, seated: list[tuple[PolicyAndQ, Tensor]], own: Estimates) -> Encounters:
        """Pair the learner's decisions, one column per own seat [T, B], with those of the other seat.

        No gradient flows into the other side.
        """
        own_seats = seated[0][1]  # [B]
        opposite = other_seat(own_seats)  # [B]
        present = [(networks, seats) for networks, seats in seated if len(seats)]  # the learner is the first
        with torch.no_grad():
            estimates = [own, *(self._estimates(networks, episodes, seats) for networks, seats in present[1:])]
        # Joined, the estimates have a column for each estimated seat; `columns` [B] are those of the other side.
        estimated_seats = torch.cat([seats for _, seats in present])
        numbers = torch.arange(len(estimated_seats), device=self.device)
        column_of_seat = torch.empty_like(episodes.action[0]).scatter(0, estimated_seats, numbers)  # [EN]
        columns = column_of_seat[opposite]
        log_probs = torch.cat([e.log_probs.detach() for e in estimates], 1).index_select(1, columns)
        q = torch.cat([e.q.detach() for e in estimates], 1).index_select(1, columns)
        with_policy = [(n.actor, torch.isin(opposite, seats).nonzero()[:, 0]) for n, seats in present]
        return Encounters(
            me=self._side(episodes, own_seats, own),
            other=self._side(episodes, opposite, Estimates(log_probs, q)),
            other_obs=of_seats(episodes.obs, opposite),
            other_action_mask=of_seats(episodes.action_mask, opposite),
            other_policies=[(policy, encounters) for policy, encounters in with_policy if len(encounters)],
        )

    def _estimates(self, networks: PolicyAndQ, episodes: Episodes, seats: Tensor) -> Estimates:
        logits = networks.actor(of_seats(episodes.obs, seats))
        log_probs = masked_log_probs(logits, of_seats(episodes.action_mask, seats))
        return Estimates(log_probs, networks.critic(episodes.obs_and_time(seats)))

    def _side(self, episodes: Episodes, seats: Tensor, estimates: Estimates) -> Side:
        reward, value = of_seats(episodes.reward, seats), estimates.value
        next_value = torch.cat([value[1:-1], episodes.continues[seats] * value[-1:]])
        advantage = reward + self.config.gamma * next_value - value[:-1]
        log_prob = episodes.of_actions(estimates.log_probs, seats)
        return Side(estimates, of_seats(episodes.action, seats), reward, log_prob, advantage)

    def _sarsa(self, episodes: Episodes, seats: Tensor, estimates: Estimates, target: Head) -> Tensor:
        """Return Huber's loss of Q(s, a) against r + γ Q'(s', a'), or r + γ V'(s') where the episode was truncated."""
        with torch.no_grad():
            q = target(episodes.obs_and_time(seats))
            final = episodes.continues[seats] * Estimates(estimates.log_probs[-1:], q[-1:]).value
            next_q = torch.cat([episodes.of_actions(q, seats)[1:], final])
        targets = of_seats(episodes.reward, seats) + self.config.gamma * next_q
        return functional.huber_loss(episodes.of_actions(estimates.q, seats), targets)

    def _model_loss(self, episodes: Episodes, seats: Tensor) -> Tensor:
        """Return the loss of the model of strangers: SARSA for its Q, likelihood for its policy."""
        estimates = self._estimates(self.other, episodes, seats)
        log_likelihood = episodes.of_actions(estimates.log_probs, seats).mean()
        return self._sarsa(episodes, seats, estimates, self.other_target) - log_likelihood

    def _descend(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute all gradients, then take one step for each loss; return the gradients' norms before clipping."""
        gradients = {name: self._optimizers[name].gradient(loss, retain_graph=True) for name, loss in losses.items()}
        return {name: self._optimizers[name].step(gradient) for name, gradient in gradients.items()}

    def _average(self, target: Head, critic: Head) -> None:
        """Move the target critic towards the critic: an exponential moving average."""
        with torch.no_grad():
            for average, new in zip(target.parameters(), critic.parameters(), strict=True):
                average.lerp_(new, 1 - self.config.critic_average)

    def _add_past_self(self) -> None:
        """Add the learner to its past selves every `past_every` updates, then draw the next opponents."""
        if self._past_selves and (self.updates - 1) % self.config.past_every == 0:
            weights = torch.cat([self._past_weights, self._weights()[None]])
            self._past_weights = weights[-self.config.past_selves :]
        self._draw_past_selves()

    def _draw_past_selves(self) -> None:
        """Draw the past selves that play next; until one exists, they are the learner's initial networks."""
        count = len(self._past_weights)
        if count == 0:
            return
        rng = np.random.default_rng(fold_one(self.key, self.updates))
        drawn = rng.integers(count, size=len(self._past_selves))
        self._seat_past_selves(self._past_weights[torch.from_numpy(drawn)])

    def _seat_past_selves(self, weights: Tensor) -> None:
        """Give the past selves that play these weights [K, parameters]."""
        weights = weights.to(self.device)
        for networks, each in zip(self._past_selves, weights, strict=True):
            nn.utils.vector_to_parameters(each, networks.parameters())
        self._ensemble.actors = stacked(self.me.actor, weights)  # the actor's parameters come first

    def _weights(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.me.parameters()).detach().cpu()

    def _networks(self, name: str) -> PolicyAndQ:
        return PolicyAndQ(self.config, self.spec, stream(self.key, name)).to(self.device)

    def _adam(self, rate: float, *modules: nn.Module) -> Adam:
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        return Adam(parameters, learning_rate=rate, eps=1e-8, max_norm=self.config.max_grad_norm)

    def _saved(self) -> dict[str, nn.Module]:
        return {"me": self.me, "target": self.target, "other": self.other, "other_target": self.other_target}

    def state(self) -> Tensors:
        state: Tensors = {"updates": torch.tensor(self.updates), "past": self._past_weights}
        for name, module in self._saved().items():
            state |= prefixed(f"networks.{name}", module.state_dict())
        for name, optimizer in self._optimizers.items():
            state |= prefixed(f"optimizer.{name}", optimizer.state())
        return state

    def load_state(self, state: Tensors) -> None:
        self.updates, self._past_weights = int(state["updates"]), state["past"].clone()
        for name, module in self._saved().items():
            module.load_state_dict(under(f"networks.{name}", state))
        self._draw_past_selves()
        for name, optimizer in self._optimizers.items():
            optimizer.load_state(under(f"optimizer.{name}", state))

    def agent_state(self) -> Tensors:
        return self.me.actor.state_dict()

    @classmethod
    def load_agent(
        cls, config: OpponentShapingConfig, spec: Spec, state: Tensors, *, device: str, greedy: bool = False
    ) -> Agent:
        with to_be_loaded():
            actor = PolicyAndQ(config, spec, 0).actor.to(device)
        actor.load_state_dict(state)
        return ActorAgent(actor, device, greedy=greedy)


def _refuse(name: str, spec: Spec) -> None:
    if spec.num_players != 2:
        raise UserError(f"{name} needs two players, and '{spec.name}' has {spec.num_players}; use ippo")
    if spec.turns != "simultaneous":
        raise UserError(
            f"{name} needs players who decide at the same time, and those of '{spec.name}' take turns; use ippo"
        )
    if not isinstance(spec.action, Discrete):
        raise UserError(f"{name} needs discrete actions, and '{spec.name}' has continuous ones; choose another game")
    if spec.max_length is None:
        raise UserError(f"{name} needs episodes of a known length, and '{spec.name}' declares none; use ippo")
