"""What learners share that meet one other player over whole episodes: their networks, their critic, and the loop.

    trajectory -> episodes of both players -> the algorithm's loss on its own decisions, SARSA for its Q -> one step

Who sits opposite is the learner itself, one of its past selves, or a stranger. Of a stranger nothing is known but what
it did, saw and was paid: a model of it, a policy and a Q, is fitted to that. An algorithm (marl/algorithms/) says what
its loss is.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import RunFailed, UserError
from games.keys import draw, fold_one, stream
from marl.base.memory import refuse_beyond_memory
from marl.learning.learner import Learner
from marl.learning.networks import generator_of, linear, masked_log_probs, mlp
from marl.learning.optimizers import Adam
from marl.learning.recurrent import GRU
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.agent import Agent
from marl.rollout.seating import Seating
from marl.rollout.types import Decision, Hidden, Tensors, Trajectory, View, prefixed, under
from marl.training.config import Count, Size

STATES = ("start", "CC", "CD", "DC", "DD")  # what a player of a 2x2 matrix game remembers: its own action first


class PairwiseConfig(BaseModel):
    """The settings that learners of two-player games share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gamma: float = Field(0.96, ge=0, le=1)
    learning_rate: PositiveFloat = 1e-3  # the policy's
    critic_learning_rate: PositiveFloat = 1e-2
    critic_average: float = Field(0.99, ge=0, lt=1)  # of the target critic's moving average, kept at each update
    entropy_coefficient: float = Field(0.0, ge=0)
    epsilon: float = Field(0.0, ge=0, le=1)  # of uniform actions mixed in while training, never corrected for
    actor_hidden: tuple[Size, ...] = (128, 128)
    actor_memory: Count = 128  # of its GRU; 0: it sees its present view alone
    critic_hidden: tuple[Size, ...] = (64, 64)
    critic_memory: Count = 64
    max_grad_norm: PositiveFloat = 1.0
    past_selves: Count = 0  # the most that are kept to play against; 0: it plays itself
    past_every: PositiveInt = 10  # updates between two that are kept


class Head(nn.Module):
    """Views over whole episodes in, `outputs` numbers out: Linear layers, ReLUs between them, a GRU if it remembers.

    The numbers begin near 0: a Q that begins elsewhere takes the opponent for one that has decided already. Without
    hidden layers and memory it is a table: no bias, zeros at first.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], memory: int, key: int) -> None:
        super().__init__()
        generator = generator_of(key)
        sizes = [inputs, *hidden]
        self.encode = mlp(sizes, generator)
        self.remember = GRU(sizes[-1], memory, generator) if memory else None
        table = not (memory or hidden)
        self.out = linear(memory or sizes[-1], outputs, 0.0 if table else 0.01, generator)
        if table:  # its bias stays 0: no parameter, for whoever differentiates, copies or looks ahead
            bias = self.out.bias.detach()
            del self.out.bias
            self.out.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [T, B, I] to [T, B, outputs]."""
        features = self._encoded(x)
        if self.remember:
            features = self.remember(features.flatten(0, 1), [x.shape[1]] * len(x)).view(*x.shape[:2], -1)
        return self.out(features)  # type: ignore[no-any-return]

    def step(self, x: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map rows [B, I] and hidden states [B, H], if it has a memory, to outputs [B, outputs] and the next ones."""
        features = self._encoded(x)
        if self.remember:
            assert hidden is not None
            features = hidden = self.remember.step(features, hidden)
        return self.out(features), hidden

    def decide(self, obs: Tensor, mask: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return log pi(a | o) of views [B, *O] and masks [B, A], and the next hidden states, beside each other."""
        logits, after = self.step(flat(obs), hidden)
        log_probs = masked_log_probs(logits, mask)
        return log_probs if after is None else torch.cat([log_probs, after], 1)

    def _encoded(self, x: Tensor) -> Tensor:
        features = self.encode(x)
        return features if self.remember or not len(self.encode) else functional.relu(features)


class ActorCritic(nn.Module):
    """A policy, and a Q that sees the time besides."""

    def __init__(self, config: PairwiseConfig, spec: Spec, key: int) -> None:
        super().__init__()
        size, actions = int(np.prod(spec.observation.shape)), spec.num_actions
        self.actor = Head(size, actions, config.actor_hidden, config.actor_memory, stream(key, "actor"))
        self.critic = Head(size + 1, actions, config.critic_hidden, config.critic_memory, stream(key, "critic"))


class PolicyAgent:
    """Play a policy, sampled by the decision's key, or its mode if `greedy`; with probability `epsilon` any action."""

    def __init__(self, actor: Head, device: str, *, epsilon: float = 0.0, greedy: bool = False) -> None:
        self._epsilon, self._greedy = epsilon, greedy
        self._memory = actor.remember.size if actor.remember else 0
        # Without memory the network is small: its calls cost more than its rows.
        self._actor = Rowwise(actor, device, largest=BLOCK if self._memory else 16 * BLOCK)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros((rows, self._memory), np.float32) if self._memory else None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        arrays = (view.obs, view.action_mask) if hidden is None else (view.obs, view.action_mask, hidden)
        out = self._actor.ask("decide", *arrays)
        actions = view.action_mask.shape[1]
        chance = np.exp(out[:, :actions])
        if self._greedy:
            chance = np.eye(actions, dtype=np.float32)[chance.argmax(1)]
        if self._epsilon:
            chance += self._epsilon * (view.action_mask / view.action_mask.sum(1, keepdims=True) - chance)
        return Decision(draw(view.key, chance)), None if hidden is None else out[:, actions:]


@dataclass(frozen=True)
class Episodes:
    """Whole episodes, each of T steps, by place: S = E * N places, player p of environment e at e * N + p."""

    views: Tensor  # [T+1, S, I] with the last ones, on which nobody decided
    legal: Tensor  # [T+1, S, A]
    action: Tensor  # [T, S]
    reward: Tensor  # [T, S]
    goes_on: Tensor  # [S] 1 where the game goes on beyond the recording, 0 where it is over

    @classmethod
    def of(cls, trajectory: Trajectory, length: int, device: str) -> "Episodes":
        """Take the episodes out of a trajectory that holds one of `length` steps in each environment, and its reset."""
        ended = np.asarray((trajectory.terminated | trajectory.truncated).any(2))  # [T+2, E]
        if len(ended) != length + 2 or ended[:length].any() or not ended[length].all():
            some = np.flatnonzero(ended[:length].any(1))
            raise RunFailed(
                f"expected all episodes to take {length} steps, as many as the game allows, and one took "
                f"{some[0] if len(some) else 'more'}; use ippo"
            )
        if not trajectory.acting[:length].all():
            t, _, player = np.argwhere(~np.asarray(trajectory.acting[:length]))[0].tolist()
            raise RunFailed(
                f"expected both players to decide at every step, and player {player} sat out step {t} of an episode; "
                "use ippo"
            )
        index = trajectory.index[: length + 1].reshape(length + 1, -1)
        index = np.where(index >= 0, index, 0)  # where the game is over nobody sees anything, and nothing is read

        def tensor(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        legal = trajectory.action_mask[index]
        legal[length] = legal[length - 1]  # a mask where nobody acts is all False; V(s_T) takes the one before
        return cls(
            flat(tensor(trajectory.obs))[tensor(index)],
            tensor(legal),
            tensor(trajectory.action[:length].reshape(length, -1)),
            tensor(trajectory.reward[:length].reshape(length, -1)),
            tensor(1 - trajectory.terminated[length].reshape(-1).astype(np.float32)),
        )

    def timed(self, places: Tensor) -> Tensor:
        """Return the views of some places with the time beside them [T+1, P, I+1]: what critics see."""
        time = torch.arange(len(self.views), dtype=torch.float32, device=self.views.device)
        views = at(self.views, places)
        return torch.cat([views, time[:, None, None].expand(-1, views.shape[1], 1)], 2)

    def taken(self, values: Tensor, places: Tensor) -> Tensor:
        """Return of values [T.., P, A] those of the actions taken there [T, P]."""
        action = at(self.action, places)
        return values[: len(action)].gather(2, action[..., None])[..., 0]


@dataclass(frozen=True)
class Estimates:
    """What networks say of some places' decisions."""

    log_probs: Tensor  # [T+1, P, A]
    q: Tensor  # [T+1, P, A]

    @property
    def value(self) -> Tensor:
        """V = sum_u pi(u) Q(u) [T+1, P]."""
        return (self.log_probs.exp() * self.q).sum(2)


@dataclass(frozen=True)
class Side:
    """One side of the table in P encounters: what it did, what it was paid, and what is thought of that."""

    estimates: Estimates
    action: Tensor  # [T, P]
    reward: Tensor  # [T, P]
    log_prob: Tensor  # [T, P] of the actions taken
    advantage: Tensor  # [T, P] r + γ V' - V


@dataclass(frozen=True)
class Encounters:
    """P encounters as the learner sees them: its own side, the other's, and whose networks the other is taken for."""

    me: Side
    other: Side
    views: Tensor  # [T+1, P, I] the other's
    legal: Tensor  # [T+1, P, A] the other's
    opposite: list[tuple[Head, Tensor]]  # policies, and which of the P encounters are with them

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.me, self.other


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


def flat(obs: Tensor) -> Tensor:
    """Return views [R, *O] as rows [R, I]; bytes become [0, 1]."""
    return obs.flatten(1) / 255 if obs.dtype == torch.uint8 else obs.flatten(1).float()


def at(x: Tensor, places: Tensor) -> Tensor:
    """Return what belongs to some places of [T, S, ...], in the order of `places`, without a copy where it is all."""
    every = len(places) == x.shape[1] and bool((places == torch.arange(x.shape[1], device=x.device)).all())
    return x if every else x.index_select(1, places)


def discounted(x: Tensor, rate: float) -> Tensor:
    """Return y_t = sum_{k >= t} rate^(k-t) x_k of [T, ...]."""
    out, ahead = torch.empty_like(x), torch.zeros_like(x[0])
    for t in reversed(range(len(x))):
        ahead = x[t] + rate * ahead
        out[t] = ahead
    return out


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
