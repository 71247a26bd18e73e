"""Value factorization: a team learns one joint value, mixed from utilities on which each agent acts greedily.

    iql     Q_i for each agent, of the team's reward               (Tan 1993; Tampuu et al. 2017)
    vdn     Q_tot = sum_i Q_i                                       (Sunehag et al. 2017, https://arxiv.org/abs/1706.05296)
    qmix    Q_tot = f(Q_1 .. Q_N; s), f monotone in every Q_i       (Rashid et al. 2018, https://arxiv.org/abs/1803.11485)
    aerial  qmix with s = attention over the agents' memories       (Phan et al. 2023, https://arxiv.org/abs/2301.01649)

They differ in the mixer and in its inputs. Each minimises

    L = mean (Q_tot(τ, u; s) - y)²,   y = TD(λ) of r + γ Q_tot'(τ', u'; s'),   u'_i = argmax Q_i(τ'_i, .)

over whole episodes, with target networks ' and, in double-Q (van Hasselt et al. 2016), u' chosen by the online ones.
Since f is monotone, the joint argmax consists of each agent's own argmax: training is centralised, execution is not.

Deviations, all for games with turns, deaths and truncation: a player who does not act has utility 0 in Q_tot; the
discount counts the team's decisions; a truncated episode bootstraps from its final observations. They make no
difference in PyMARL's games.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.learner import TeamLearner, TeamLearnerConfig
from marl.algorithms.value_factorization.networks import Team
from marl.base.schema import Size
from marl.learning.networks import generator_of, linear, mlp


class ValueFactorizationConfig(TeamLearnerConfig):
    """The settings of IQL and VDN."""

    double_q: bool = True


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

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        h1, h2, b1, v = self.of_state(state).split(self.parts, 1)
        w1 = self.w1(functional.relu(h1)).abs().view(-1, *self.shape)
        w2 = self.w2(functional.relu(h2)).abs()
        hidden = functional.elu((q[:, :, None] * w1).sum(1) + b1)
        mixed: Tensor = (hidden * w2).sum(1, keepdim=True) + self.v(functional.relu(v))
        return mixed


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

    @abstractmethod
    def mixer(self, key: int) -> nn.Module:
        """Build the mixer, from utilities [B, N] and its state to values [B, M]; `key` draws its weights."""

    def mixer_state(self, batch: EpisodeBatch, features: Tensor) -> Tensor:
        """Return the mixer's second input; `features` [R, H] are the agents' hidden states."""
        return batch.global_state

    def build(self) -> Team:
        self.team, self.target_team = self.with_target("team", lambda key: Team(self.config, self.spec, key))
        self.mix, self.target_mix = self.with_target("mixer", self.mixer)
        self.optimizers["all"] = self.optimizer(self.team, self.mix)
        return self.team

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        q, features = self.team(batch.packed)  # [R, A], [R, H]
        value = self.mix(batch.taken(q), self.mixer_state(batch, features))  # [B, M]
        with torch.no_grad():
            q_target, features = self.target_team(batch.packed)
            best = batch.greedy(q if self.config.double_q else q_target)  # [R]
            next_q = batch.seats(q_target.gather(1, best[:, None])[:, 0])
            value_target = self.target_mix(next_q, self.mixer_state(batch, features))
            target = batch.targets(value_target, gamma=self.config.gamma, td_lambda=self.config.td_lambda)
        decided = batch.decided(each=value.shape[1] > 1)
        error = (value - target)[decided]
        loss = error.square().mean()
        norm = self.optimizers["all"].descend(loss)
        self.update_targets((self.target_team, self.team), (self.target_mix, self.mix))
        return {"loss": loss.detach(), "grad_norm": norm, "q": value.detach()[decided].mean()}


class Iql(ValueFactorization):
    """Independent Q-learning on the team's reward."""

    name, needs_state = "iql", False

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


class Aerial(ValueFactorization):
    """AERIAL: QMIX with attention over the agents' hidden states, which get no gradient through the mixer."""

    Config, name, needs_state = QmixConfig, "aerial", False
    config: QmixConfig

    def mixer(self, key: int) -> nn.Module:
        return MonotoneOfHidden(self.config, self.spec.num_players, generator_of(key))

    def mixer_state(self, batch: EpisodeBatch, features: Tensor) -> Tensor:
        return batch.seats(features.detach())
