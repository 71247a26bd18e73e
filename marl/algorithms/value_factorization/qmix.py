"""Value factorization: a team learns one joint value, mixed from utilities on which each agent acts greedily.

    iql     Q_i for each agent, of the team's reward               (Tan 1993; Tampuu et al. 2017)
    vdn     Q_tot = sum_i Q_i                                       (Sunehag et al. 2017, https://arxiv.org/abs/1706.05296)
    qmix    Q_tot = f(Q_1 .. Q_N; s), f monotone in every Q_i       (Rashid et al. 2018, https://arxiv.org/abs/1803.11485)
    aerial  qmix with s = attention over the agents' memories       (Phan et al. 2023, https://arxiv.org/abs/2301.01649)

They differ in the mixer and in its inputs. Each minimises

    L = mean (Q_tot(τ, u; s) - y)²,   y = TD(λ) of r + γ Q_tot'(τ', u'; s'),   u'_i = argmax Q_i(τ'_i, .)

over whole episodes, with target networks ' and, in double-Q (van Hasselt et al. 2016), u' chosen by the online ones.
Since f is monotone, the joint argmax consists of each agent's own argmax: training is centralised, execution is not.

With a `value_head` other than `scalar` a distribution Z of returns is learned, by cross-entropy. IQL's agents have one
for each action. Of a team's Z, which has the boundaries e_k between its bins, the mixer gives m in

    P(Z > e_k | τ, u; s) = sigmoid(m - c_k(s)),   m = f(Q_1 .. Q_N; s),   c_1(s) < c_2(s) < ..,   Q_tot = E[Z]

(McCullagh 1980: the cumulative logit model). Q_tot increases with m, so each agent's own argmax is still its part of
the joint one.

Deviations, all for games with turns, deaths and truncation: a player who does not act has utility 0 in Q_tot; the
discount counts the team's decisions; a truncated episode bootstraps from its final observations. They make no
difference in PyMARL's games.
"""

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import BaseModel, field_validator
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.diagnostics import action_gap
from marl.algorithms.value_factorization.learner import TeamLearner, TeamLearnerConfig
from marl.algorithms.value_factorization.networks import Team
from marl.base.schema import Size
from marl.learning.idle import Needs
from marl.learning.networks import generator_of, linear, mlp
from marl.learning.value_heads import (
    Distribution,
    Scalar,
    ValueHead,
    ValueHeadConfig,
    needs_of_head,
    uncovered,
    value_head,
)


class ValueFactorizationConfig(TeamLearnerConfig, ValueHeadConfig):
    """The settings of IQL and VDN."""

    double_q: bool = True
    dueling: bool = False  # utilities are V + A - mean A
    # Of a distribution's returns; auto: the game's return_bounds.
    value_range: Literal["auto"] | tuple[float, float] = "auto"

    @field_validator("value_range")
    @classmethod
    def _increases(cls, value: Literal["auto"] | tuple[float, float]) -> Literal["auto"] | tuple[float, float]:
        if value != "auto" and not value[0] < value[1]:
            raise ValueError(f"expected the lowest return, then the highest, got {list(value)}")
        return value


class QmixConfig(ValueFactorizationConfig):
    """The settings of QMIX and AERIAL."""

    mixing_hidden: Size = 32  # E
    hypernet_hidden: Size = 64


class Unmixed(nn.Module):
    """IQL: the utilities [B, N] themselves are the values."""

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        return q


class Sum(nn.Module):
    """VDN: the sum of utilities [B, N] -> [B, 1]."""

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        return q.sum(1, keepdim=True)


class Monotone(nn.Module):
    """QMIX: Q_tot = |W2(s)| ELU(|W1(s)| q + b1(s)) + V(s), with dQ_tot/dQ_i >= 0 (eq. 5): [B, N], [B, S] -> [B, 1].

    Hypernetworks compute the weights from the state. The absolute values keep Q_tot monotone; biases are free.
    """

    def __init__(self, config: QmixConfig, num_players: int, state_size: int, generator: torch.Generator) -> None:
        super().__init__()
        n, e, h = num_players, config.mixing_hidden, config.hypernet_hidden
        self.shape = (n, e)
        # One matrix product for the hidden layers of both weights, b1, and the hidden layer of V.
        self.of_state = linear(state_size, 2 * h + 2 * e, 1.0, generator)
        self.parts = [h, h, e, e]
        self.w1, self.w2 = linear(h, n * e, 1.0, generator), linear(h, e, 1.0, generator)
        self.v = linear(e, 1, 1.0, generator)

    def hypernetworks(self, state: Tensor) -> tuple[Tensor, ...]:
        """Return the hidden layers of both weights, b1 and the hidden layer of V, before any ReLU."""
        layers: tuple[Tensor, ...] = self.of_state(state).split(self.parts, 1)
        return layers

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        h1, h2, b1, v = self.hypernetworks(state)
        w1 = self.w1(functional.relu(h1)).abs().view(-1, *self.shape)
        w2 = self.w2(functional.relu(h2)).abs()
        hidden = functional.elu((q[:, :, None] * w1).sum(1) + b1)
        mixed: Tensor = (hidden * w2).sum(1, keepdim=True) + self.v(functional.relu(v))
        return mixed


class Ordinal(nn.Module):
    """The distribution of a team's return, of which the mixer gives m: [B, N], [B, S] -> logits [B, 1, K].

    `of_state` maps the state to K - 1 numbers: c_1, and the distances between the thresholds c_k, before a softplus.
    Without it they are the same in all states. In the beginning m = 0 stands for the return 0, and an interval of
    SPREAD for the whole range of returns.
    """

    SPREAD = 8.0

    def __init__(self, mixer: nn.Module, head: Distribution, of_state: nn.Module | None) -> None:
        super().__init__()
        self.mixer, self.of_state = mixer, of_state
        start = head.boundaries() * self.SPREAD / (head.high - head.low)
        start[1:] = start.diff().expm1().log()  # the inverse of softplus
        self.start = nn.Parameter(start)  # [K - 1]

    def thresholds(self, state: Tensor) -> Tensor:
        """Return c [B, K - 1], or [1, K - 1] if they are the same in all states."""
        return torch.cat(self._spaced(state), 1).cumsum(1)

    def _spaced(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return c_1 [B, 1] and the distances between the thresholds [B, K - 2]."""
        found = self.start[None] if self.of_state is None else self.start + self.of_state(state)
        return found[:, :1], functional.softplus(found[:, 1:]) + 1e-4

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """Return log P(e_k-1 < Z <= e_k), by σ(a) - σ(b) = σ(a) σ(-b) (1 - exp(b - a))."""
        first, distances = self._spaced(state)
        above = self.mixer(q, state) - torch.cat([first, distances], 1).cumsum(1)  # [B, K - 1]
        more, less = functional.logsigmoid(above), functional.logsigmoid(-above)
        # Differences of the thresholds themselves round to 0 where these are large.
        inner = more[:, :-1] + less[:, 1:] + torch.log(-torch.expm1(-distances))
        return torch.cat([less[:, :1], inner, more[:, -1:]], 1)[:, None]


def threshold_network(inputs: int, hidden: int, count: int, generator: torch.Generator) -> nn.Sequential:
    """Build the `of_state` of an Ordinal: its outputs are near 0 in the beginning."""
    return nn.Sequential(linear(inputs, hidden, 1.0, generator), nn.ReLU(), linear(hidden, count, 0.01, generator))


class Attention(nn.Module):
    """AERIAL's substitute for the state: attention over the agents' hidden states [B, N, H] -> [B, H] (section 4.2).

    Heads are summed, not concatenated; every map is Linear, ReLU, Linear. The sum is decoded, averaged over the agents,
    and mapped once more.
    """

    HEADS = 4

    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)

        def maps(count: int) -> nn.ModuleList:
            return nn.ModuleList(mlp((size, size, size), generator) for _ in range(count))

        self.keys, self.queries, self.values = maps(self.HEADS), maps(self.HEADS), maps(self.HEADS)
        self.decode, self.out = mlp((size, size, size), generator), mlp((size, size, size), generator)

    def forward(self, hidden: Tensor) -> Tensor:
        x = self.norm(hidden)
        mixed: Any = 0
        for key, query, value in zip(self.keys, self.queries, self.values, strict=True):
            weight = torch.softmax(query(x) @ key(x).transpose(1, 2) / x.shape[2] ** 0.5, 2)  # [B, N, N]
            mixed = mixed + weight @ value(x)
        return functional.relu(self.out(self.decode(mixed).mean(1)))


class MonotoneOfHidden(nn.Module):
    """AERIAL: the monotone mixer of utilities [B, N], with the agents' hidden states [B, N, H] as the state."""

    def __init__(self, config: QmixConfig, num_players: int, generator: torch.Generator) -> None:
        super().__init__()
        self.attention = Attention(config.hidden, generator)
        self.mixer = Monotone(config, num_players, config.hidden, generator)

    def forward(self, q: Tensor, hidden: Tensor) -> Tensor:
        mixed: Tensor = self.mixer(q, self.attention(hidden))
        return mixed


class ValueFactorization(TeamLearner):
    """The learner of utilities and a mixer, with target networks."""

    Config: ClassVar[type[BaseModel]] = ValueFactorizationConfig
    config: ValueFactorizationConfig

    independent: ClassVar[bool] = False  # each agent has a distribution of its own, not the team

    @classmethod
    def needs(cls, config: TeamLearnerConfig, spec: Spec) -> Needs:
        assert isinstance(config, ValueFactorizationConfig)
        needs = needs_of_head(config)
        return {**needs, "value_range": needs["value_bins"]}

    @abstractmethod
    def mixer(self, key: int) -> nn.Module:
        """Build the mixer, from utilities [B, N] and its state to values [B, M]; `key` draws its weights."""

    def thresholds(self, count: int, generator: torch.Generator) -> nn.Module | None:
        """Build the network from the mixer's state to `count` thresholds of a distribution, if there is a state."""
        return None

    def mixer_state(self, batch: EpisodeBatch, features: Tensor) -> Tensor:
        """Return the mixer's second input; `features` [R, H] are the agents' hidden states."""
        return batch.global_state

    @classmethod
    def networks(cls, config: TeamLearnerConfig, spec: Spec, key: int) -> Team:
        config = cast("ValueFactorizationConfig", config)
        head = head_of(config, spec) if cls.independent else None
        return Team(config, spec, key, head=head, dueling=config.dueling)

    def distribution(self, key: int) -> nn.Module:
        """Build the mixer, with the distribution of the team's return if there is one."""
        mixer = self.mixer(key)
        if self.independent or isinstance(self.head, Scalar):
            return mixer
        return Ordinal(mixer, self.head, self.thresholds(self.head.bins - 1, generator_of(stream(key, "thresholds"))))

    def build(self) -> Team:
        self.head = head_of(self.config, self.spec).to(self.device)
        self.notes += _notes_of(self.head, self.config, self.spec)
        networks = partial(self.networks, self.config, self.spec)
        self.team, self.target_team = self.with_target("team", networks)
        self.mix, self.target_mix = self.with_target("mixer", self.distribution)
        self.optimizers["all"] = self.optimizer(self.team, self.mix)
        return self.team

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        predicted, features = self.team(batch.packed, batch.action_mask)  # [R, A] or [R, A, K], [R, H]
        mixed = self.mix(batch.taken(predicted), self.mixer_state(batch, features))  # [B, M] or [B, M, K]
        with torch.no_grad():
            q, value = self.team.utilities(predicted.detach()), self.head.mean(mixed.detach())  # [R, A], [B, M]
            predicted_target, features = self.target_team(batch.packed, batch.action_mask)
            best = batch.greedy(q if self.config.double_q else self.team.utilities(predicted_target))  # [R]
            state = self.mixer_state(batch, features)
            value_target = self.head.mean(self.target_mix(batch.chosen_rows(predicted_target, best), state))
            target = batch.targets(value_target, gamma=self.config.gamma, td_lambda=self.config.td_lambda)
        decided = batch.decided(each=value.shape[1] > 1)
        loss = self.head.loss(mixed[decided], target[decided]).mean()
        norm = self.optimizers["all"].descend(loss)
        metrics = {"loss": loss.detach(), "grad_norm": norm, "q": value[decided].mean()}
        metrics |= self.head.metrics(mixed.detach()[decided], target[decided])
        if self.diagnoses:
            with torch.no_grad():
                lagging = self.head.mean(self.target_mix(batch.taken(predicted_target), state))
            metrics |= self.diagnosis(batch, value, lagging, value_target)
            metrics["action_gap"] = action_gap(q[batch.acts], batch.action_mask[batch.acts])
        self.update_targets((self.target_team, self.team), (self.target_mix, self.mix))
        return metrics


def head_of(config: ValueFactorizationConfig, spec: Spec) -> ValueHead:
    """Return the value head; raises UserError where the range of a distribution's returns is not known."""
    if config.value_head == "scalar":
        return Scalar()
    if config.value_range != "auto":
        return value_head(config, config.value_range)
    unknown = f"value_head: {config.value_head} needs the range of the returns"
    if config.standardise_rewards:
        raise UserError(
            f"{unknown}, and that of standardised rewards is not known; set value_range: [lowest, highest], or "
            "standardise_rewards: false"
        )
    if spec.return_bounds is None or spec.return_bounds[0] == spec.return_bounds[1]:
        raise UserError(
            f"{unknown}, and the Spec of '{spec.name}' has return_bounds {spec.return_bounds}; set value_range: "
            "[lowest, highest]"
        )
    return value_head(config, spec.return_bounds)


def _notes_of(head: ValueHead, config: ValueFactorizationConfig, spec: Spec) -> list[str]:
    """Return the notes on a head whose range may leave returns out."""
    if isinstance(head, Scalar) or not config.standardise_rewards:
        return uncovered(head, spec, config.gamma)
    return [
        f"standardise_rewards: {config.standardise_rewards}, so the returns are not known beforehand, and value_range: "
        f"[{head.low:g}, {head.high:g}] may leave some out: the metric clipped_targets says how many"
    ]


class Iql(ValueFactorization):
    """Independent Q-learning on the team's reward."""

    name, needs_state, independent = "iql", False, True

    def mixer(self, key: int) -> nn.Module:
        return Unmixed()


class Vdn(ValueFactorization):
    """Value decomposition networks: the sum of the utilities."""

    name, needs_state = "vdn", False

    def mixer(self, key: int) -> nn.Module:
        return Sum()


class Qmix(ValueFactorization):
    """QMIX: a monotone mixer of the utilities, whose weights depend on the state."""

    Config, name = QmixConfig, "qmix"
    config: QmixConfig

    def mixer(self, key: int) -> nn.Module:
        return Monotone(self.config, self.spec.num_players, self.state_size, generator_of(key))

    def thresholds(self, count: int, generator: torch.Generator) -> nn.Module:
        return threshold_network(self.state_size, self.config.mixing_hidden, count, generator)


class Aerial(ValueFactorization):
    """AERIAL: QMIX with attention over the agents' hidden states, which get no gradient through the mixer."""

    Config, name, needs_state = QmixConfig, "aerial", False
    config: QmixConfig

    def mixer(self, key: int) -> nn.Module:
        return MonotoneOfHidden(self.config, self.spec.num_players, generator_of(key))

    def thresholds(self, count: int, generator: torch.Generator) -> nn.Module:
        config = self.config
        attention = Attention(config.hidden, generator)
        return nn.Sequential(attention, threshold_network(config.hidden, config.mixing_hidden, count, generator))

    def mixer_state(self, batch: EpisodeBatch, features: Tensor) -> Tensor:
        return batch.seats(features.detach())
