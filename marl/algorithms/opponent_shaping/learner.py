"""What learners share that meet one other player over whole episodes: their networks, their critic, and the loop.

    trajectory -> episodes of both players -> the algorithm's loss on its own decisions, SARSA for its Q -> one step

Who sits opposite is the learner itself, one of its past selves, or a stranger. Of a stranger nothing is known but what
it did, saw and was paid: a model of it, a policy and a Q, is fitted to that. An algorithm (marl/algorithms/) says what
its loss is.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.opponent_shaping.agent import PolicyAgent
from marl.algorithms.opponent_shaping.encounters import Encounters, Episodes, Estimates, Side, at
from marl.algorithms.opponent_shaping.networks import ActorCritic, Head, PairwiseConfig
from marl.base.memory import refuse_beyond_memory
from marl.learning.learner import Learner
from marl.learning.networks import masked_log_probs
from marl.learning.optimizers import Adam
from marl.rollout.agent import Agent
from marl.rollout.seating import Seating
from marl.rollout.types import Tensors, Trajectory, prefixed, under

STATES = ("start", "CC", "CD", "DC", "DD")  # what a player of a 2x2 matrix game remembers: its own action first


class PairwiseLearner(Learner):
    """The loop of a learner that meets one other player; an algorithm writes `loss`.

    Raises UserError for a game that is not of two players who always decide at the same time, has continuous actions,
    or has no known length, and for more past selves than fit into memory.
    """

    Config: ClassVar[type[BaseModel]] = PairwiseConfig
    name: ClassVar[str]
    COMPANY = 16  # past selves at the table at once

    def __init__(self, config: Any, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(self.name, spec)
        self.notes = self.warn(spec)
        self.config, self.spec, self.device, self.key = config, spec, device, key
        self._length = spec.max_length or 0  # T: refused where unknown
        self.rollout_length = self._length + 1  # an episode, and the step that resets it
        self.updates = 0
        self.me, self.other = self._networks("me"), self._networks("other")  # `other` is the model of a stranger
        self.target, self.other_target = (deepcopy(n.critic).requires_grad_(False) for n in (self.me, self.other))
        self._optimizers = {
            "actor": self._adam(config.learning_rate, *self.improved()),
            "critic": self._adam(config.critic_learning_rate, self.me.critic),
            "other": self._adam(config.critic_learning_rate, self.other),
        }
        self._past = [self._networks("me").requires_grad_(False) for _ in range(min(config.past_selves, self.COMPANY))]
        self._kept = torch.zeros(0, len(self._weights()))  # [K, W] past selves, the oldest first
        size = self._kept.element_size() * self._kept.shape[1]
        # When one more is kept the old ones lie beside the new ones; a checkpoint is written from these themselves.
        refuse_beyond_memory(config.past_selves, f"past selves of {self.name}", size, 2, "past_selves")
        self._actors = [
            PolicyAgent(networks.actor, device, epsilon=config.epsilon) for networks in (self.me, *self._past)
        ]

    def loss(self, met: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the policy descends, and metrics."""
        raise NotImplementedError

    def warn(self, spec: Spec) -> list[str]:
        """Return what the user should know of how this game fits."""
        return []

    def improved(self) -> list[nn.Module]:
        """Return the networks that descend `loss`."""
        return [self.me.actor]

    def actors(self) -> Sequence[Agent]:
        return self._actors

    def agent(self) -> Agent:
        return PolicyAgent(self.me.actor, self.device)

    def leaders(self) -> Sequence[int]:
        return [0]

    def seating(self, num_envs: int) -> Seating:
        """Seat the learner opposite itself, or opposite its past selves by turns, in each seat by turns."""
        if not self._past:
            return super().seating(num_envs)
        env, player = np.arange(num_envs)[:, None], np.arange(2)[None, :]
        return np.where(player == env % 2, 0, 1 + env // 2 % len(self._past))

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        episodes = Episodes.of(trajectory, self._length, self.device)
        sitting = self._sitting(trajectory.seating[0].reshape(-1), mine)
        own = sitting[0][1]
        if len(own) == 0:
            return {"updates": self.updates}
        me = self._estimates(self.me, episodes, own)
        loss, metrics = self.loss(self._encounters(episodes, sitting, me))
        entropy = -(me.log_probs[:-1].exp() * me.log_probs[:-1]).sum(2).mean()
        critic_loss = self._sarsa(episodes, own, me, self.target)
        losses = {"actor": loss - config.entropy_coefficient * entropy, "critic": critic_loss}
        strangers = sitting[1][1]
        if len(strangers):
            losses["other"] = self._other_loss(episodes, strangers)
        norms = self._descend(losses)
        self._follow(self.target, self.me.critic)
        if len(strangers):
            self._follow(self.other_target, self.other.critic)
        self.updates += 1
        self._remember()
        metrics |= {
            "reward": at(episodes.reward, own).mean(),
            "reward_of_the_other": at(episodes.reward, own ^ 1).mean(),
            "entropy": entropy,
            "critic_loss": critic_loss,
            "grad_norm": norms["actor"],
            "value": me.value[:-1].mean(),
        }
        logged = {name: float(value.detach()) for name, value in metrics.items()}
        return logged | self.cooperation() | {"updates": self.updates, "past_selves": len(self._kept)}

    @property
    def remembers_last(self) -> bool:
        """The game is a repeated matrix game that shows what was played last, and the policy sees only that."""
        spec = self.spec
        shows = spec.name.startswith("matrix") and spec.observation.shape == (1 + spec.num_actions**2,)
        return shows and not spec.action_sizes and self.config.actor_memory == 0

    def cooperation(self) -> dict[str, float]:
        """Return P(first action | what was played last) by STATES, at matrix games of two actions."""
        if not self.remembers_last or self.spec.num_actions != 2:
            return {}
        with torch.no_grad():
            chance = self.me.actor(torch.eye(len(STATES), device=self.device)[:, None])[:, 0].softmax(1)[:, 0]
        return {f"cooperation.{state}": p for state, p in zip(STATES, chance.tolist(), strict=True)}

    def _sitting(self, holder: Any, mine: Sequence[int]) -> list[tuple[ActorCritic, Tensor]]:
        """Return who sits at which places: the learner, strangers opposite it (their model), then its past selves."""
        strange = ~np.isin(holder, mine) & (holder.reshape(-1, 2)[:, ::-1].reshape(-1) == mine[0])
        where = [holder == mine[0], strange, *(holder == entry for entry in mine[1:])]
        places = (torch.from_numpy(np.flatnonzero(w)).to(self.device) for w in where)
        return list(zip([self.me, self.other, *self._past], places, strict=True))

    def _encounters(self, episodes: Episodes, sitting: list[tuple[ActorCritic, Tensor]], me: Estimates) -> Encounters:
        """Lay the learner's decisions beside those of whoever sat opposite; no gradient flows into the latter."""
        held = [(networks, places) for networks, places in sitting if len(places)]
        own = sitting[0][1]
        opposite = own ^ 1
        with torch.no_grad():
            said = [me, *(self._estimates(networks, episodes, places) for networks, places in held[1:])]
        heard = torch.cat([places for _, places in held])
        column = torch.empty_like(episodes.action[0]).scatter(0, heard, torch.arange(len(heard), device=self.device))
        column = column[opposite]  # theirs, in all that was said
        log_probs = torch.cat([estimates.log_probs.detach() for estimates in said], 1).index_select(1, column)
        q = torch.cat([estimates.q.detach() for estimates in said], 1).index_select(1, column)
        return Encounters(
            self._side(episodes, own, me),
            self._side(episodes, opposite, Estimates(log_probs, q)),
            at(episodes.views, opposite),
            at(episodes.legal, opposite),
            [
                (networks.actor, met)
                for networks, places in held
                if len(met := torch.isin(opposite, places).nonzero()[:, 0])
            ],
        )

    def _estimates(self, networks: ActorCritic, episodes: Episodes, places: Tensor) -> Estimates:
        log_probs = masked_log_probs(networks.actor(at(episodes.views, places)), at(episodes.legal, places))
        return Estimates(log_probs, networks.critic(episodes.timed(places)))

    def _side(self, episodes: Episodes, places: Tensor, said: Estimates) -> Side:
        reward, value = at(episodes.reward, places), said.value
        ahead = torch.cat([value[1:-1], episodes.goes_on[places] * value[-1:]])
        advantage = reward + self.config.gamma * ahead - value[:-1]
        return Side(said, at(episodes.action, places), reward, episodes.taken(said.log_probs, places), advantage)

    def _sarsa(self, episodes: Episodes, places: Tensor, said: Estimates, target: Head) -> Tensor:
        """Return Huber's loss of Q(s, a) against r + γ Q'(s', a'); at a recording's end against r + γ V'(s')."""
        with torch.no_grad():
            q = target(episodes.timed(places))
            last = episodes.goes_on[places] * Estimates(said.log_probs[-1:], q[-1:]).value
            ahead = torch.cat([episodes.taken(q, places)[1:], last])
        aim = at(episodes.reward, places) + self.config.gamma * ahead
        return functional.huber_loss(episodes.taken(said.q, places), aim)

    def _other_loss(self, episodes: Episodes, places: Tensor) -> Tensor:
        """Return the loss of the model of strangers: SARSA for its Q, likelihood for its policy."""
        said = self._estimates(self.other, episodes, places)
        likelihood = episodes.taken(said.log_probs, places).mean()
        return self._sarsa(episodes, places, said, self.other_target) - likelihood

    def _descend(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take one step down each loss, all from the same point; return the norms of their gradients unclipped."""
        gradients = {n: self._optimizers[n].gradient(loss, retain_graph=True) for n, loss in losses.items()}
        return {name: self._optimizers[name].step(gradient) for name, gradient in gradients.items()}

    def _follow(self, target: Head, critic: Head) -> None:
        with torch.no_grad():
            for kept, new in zip(target.parameters(), critic.parameters(), strict=True):
                kept.lerp_(new, 1 - self.config.critic_average)

    def _remember(self) -> None:
        """Keep a past self when that is due, and seat others opposite."""
        if self._past and (self.updates - 1) % self.config.past_every == 0:
            self._kept = torch.cat([self._kept, self._weights()[None]])[-self.config.past_selves :]
        self._seat_past()

    def _seat_past(self) -> None:
        """Draw the past selves who sit opposite next; before there are any it is the learner as it began."""
        if len(self._kept) == 0:
            return
        drawn = np.random.default_rng(fold_one(self.key, self.updates)).integers(len(self._kept), size=len(self._past))
        for networks, k in zip(self._past, drawn.tolist(), strict=True):
            nn.utils.vector_to_parameters(self._kept[k].to(self.device, copy=True), networks.parameters())

    def _weights(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.me.parameters()).detach().cpu()

    def _networks(self, name: str) -> ActorCritic:
        return ActorCritic(self.config, self.spec, stream(self.key, name)).to(self.device)

    def _adam(self, rate: float, *modules: nn.Module) -> Adam:
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        return Adam(parameters, learning_rate=rate, eps=1e-8, max_norm=self.config.max_grad_norm)

    def _saved(self) -> dict[str, nn.Module]:
        return {"me": self.me, "target": self.target, "other": self.other, "other_target": self.other_target}

    def state(self) -> Tensors:
        state: Tensors = {"updates": torch.tensor(self.updates), "past": self._kept}
        for name, module in self._saved().items():
            state |= prefixed(f"networks.{name}", module.state_dict())
        for name, optimizer in self._optimizers.items():
            state |= prefixed(f"optimizer.{name}", optimizer.state())
        return state

    def load_state(self, state: Tensors) -> None:
        self.updates, self._kept = int(state["updates"]), state["past"].clone()
        for name, module in self._saved().items():
            module.load_state_dict(under(f"networks.{name}", state))
        self._seat_past()
        for name, optimizer in self._optimizers.items():
            optimizer.load_state(under(f"optimizer.{name}", state))

    def agent_state(self) -> Tensors:
        return self.me.actor.state_dict()

    @classmethod
    def load_agent(cls, config: Any, spec: Spec, state: Tensors, *, device: str, greedy: bool = False) -> Agent:
        actor = ActorCritic(config, spec, 0).actor.to(device)
        actor.load_state_dict(state)
        return PolicyAgent(actor, device, greedy=greedy)


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
        raise UserError(f"{name} needs episodes of a known length, and '{spec.name}' says none; use ippo")
