"""Minimax-DQN: deep Q-learning of the stage games of a zero-sum game in which two players move at the same time.

    minimax-Q   Littman 1994, https://doi.org/10.1016/B978-1-55860-335-6.50027-1
    deep        Fan et al. 2020, https://arxiv.org/abs/1901.00137
    MEX         Liu et al. 2023, https://arxiv.org/abs/2305.18258: optimism in place of bonuses

Q(s, a, b) is what a player earns by its action a and the other's action b. With val(M) the value of the game whose
payoffs to the row player are M (marl/equilibria/stage.py), r half of what the player was paid more than the other, and
' the target network,

    y = r + γ val(Q'(s'))         and y = r at the end
    L = mean Huber(Q(s, a, b) - y)

At a position at which one player moves the game has one row or one column. Players act by the equilibrium of the stage
game, found in training by regret matching+ and in play by linear programming, and explore uniformly with ε.

MEX, with `optimism` α > 0: of two hypotheses f and g, heads of one network, f is as optimistic as the data allow about
the value at the start s_1, and g about the best response to the equilibrium ν of f:

    L_f = mean Huber(f(s, a, b) - r - γ val(f'(s'))) - α val(f(s_1))
    L_g = mean Huber(g(s, a, b) - r - γ max_a' (g'(s') ν')(a')) - α max_a (g(s_1) ν)(a)

In every episode one seat plays the equilibrium of f, the other the best response by g; seats alternate by environment.
α falls to 0 with the run.

Each player's decision is learned from as that player saw it. Where the Spec says that the seats are interchangeable,
one function serves both, and every transition (r, Q) is learned from as (-r, -Q transposed) too; else the player's
number is an input.

Deviations: the Huber loss; a stored position's val(Q'(s')) is computed once for each target network.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from games.arrays import Floats, Ints
from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.minimax_q.agent import StageAgent, responses
from marl.algorithms.minimax_q.networks import StageNetwork
from marl.algorithms.minimax_q.replay import Rows, StageReplay
from marl.base.schema import Frozen, Size, Sizes
from marl.equilibria.stage import ITERATIONS, StageSolution, regret_matching
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import convolves, to_be_loaded
from marl.learning.optimizers import Adam
from marl.learning.schedules import annealed, due, ramp
from marl.rollout.agent import Agent
from marl.rollout.seating import Seating
from marl.rollout.types import Tensors, Trajectory, prefixed, under

STARTS = 16  # the most start positions of a batch whose value is looked at
EVERY = 16  # without optimism the value at the start is a metric only, of one update in so many


class MinimaxDqnConfig(Frozen):
    """The settings of minimax-DQN."""

    hidden: Sizes = (128, 128)
    channels: Sizes = (32, 32)  # of convolutions, if the views are planes
    encoder: Literal["auto", "mlp", "cnn"] = "auto"
    learning_rate: PositiveFloat = 5e-4
    gamma: float = Field(1.0, ge=0, le=1)  # per position
    batch_size: Size = 128  # decisions
    steps_per_update: PositiveInt = 8  # environment steps between two updates, over all environments
    replay_positions: Size = 100_000  # decisions
    learning_starts: Size = 1_000  # decisions before the first update
    target_update: PositiveInt = 500  # updates between two copies
    epsilon_start: float = Field(1.0, ge=0, le=1)
    epsilon_end: float = Field(0.05, ge=0, le=1)
    epsilon_steps: PositiveInt = 20_000  # environment steps of the linear decay
    iterations: Size = ITERATIONS  # of regret matching+
    optimism: float = Field(0.0, ge=0)  # α of MEX at the start of the run; 0: without it
    interchangeable: bool | Literal["auto"] = "auto"  # one function for both seats; auto: as the game's Spec says
    max_grad_norm: PositiveFloat = 10.0


class MinimaxDqn(Learner):
    """Minimax-DQN: values and mixed strategies of two-player zero-sum games of simultaneous moves, with MEX's optimism.

    Raises UserError for other games.
    """

    Config: ClassVar[type[BaseModel]] = MinimaxDqnConfig
    config: MinimaxDqnConfig
    whole_episodes = True

    def __init__(self, config: MinimaxDqnConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(spec)
        self.config, self.spec, self.device = config, spec, device
        self.key, self.total_steps = key, total_steps
        self.steps = self.updates = self.copies = 0  # copies to the target network
        self.network = _network(config, spec, stream(key, "network")).to(device)
        self.target = _network(config, spec, stream(key, "network")).to(device).requires_grad_(False)
        self.optimizer = Adam(
            self.network.parameters(), learning_rate=config.learning_rate, eps=1e-8, max_norm=config.max_grad_norm
        )
        self.replay = StageReplay(spec, config.replay_positions, self.network.heads)
        self.solve = partial(regret_matching, iterations=config.iterations)
        self._actors = [
            StageAgent(self.network, device, solve=self.solve, exploits=head > 0) for head in range(self.network.heads)
        ]

    @classmethod
    def needs(cls, config: MinimaxDqnConfig, spec: Spec) -> Needs:
        return {"channels": (convolves(config.encoder, spec), "encoder: cnn")}

    def actors(self) -> Sequence[Agent]:
        for actor in self._actors:
            actor.epsilon = self.epsilon
        return self._actors

    def seating(self, num_envs: int) -> Seating:
        """Return self-play; with optimism one seat plays the equilibrium and the other exploits it, in turn."""
        roles = np.arange(2) + np.arange(num_envs)[:, None]
        return np.asarray(roles % len(self._actors), np.int64)

    def leaders(self) -> Sequence[int]:
        return [0]

    def agent(self) -> Agent:
        return StageAgent(self.network, self.device)

    @property
    def epsilon(self) -> float:
        config = self.config
        return ramp(config.epsilon_start, config.epsilon_end, self.steps, config.epsilon_steps)

    @property
    def optimism(self) -> float:
        """α now."""
        return annealed(self.config.optimism, self.steps, self.total_steps)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        self.replay.add(trajectory, mine)
        before, self.steps = self.steps, self.steps + trajectory.steps
        means = Means()
        if len(self.replay) >= self.config.learning_starts:
            for _ in range(due(before, self.steps, self.config.steps_per_update)):
                means.add(self.learn(self.replay.draw(self.config.batch_size, fold_one(self.key, self.updates))))
        self.actors()  # with the new ε
        counts = {"epsilon": self.epsilon, "updates": self.updates, "replay_positions": len(self.replay)}
        return means.result() | counts | ({"optimism": self.optimism} if self.config.optimism else {})

    def learn(self, places: Ints) -> dict[str, Tensor]:
        """Take one step of gradients on the decisions at some places of the replay; return metrics."""
        metrics = self.solve_ahead(places)
        rows = self.replay.at(places)
        obs, player = self._inputs(rows["obs"], rows["player"])
        payoffs = self.network.by_head(obs, player)
        own, other = (torch.from_numpy(rows[name]).to(self.device) for name in ("action", "other_action"))
        q = payoffs[torch.arange(len(places), device=self.device), :, own, other]  # [B, heads]
        target = rows["reward"][:, None] + self.config.gamma * np.where(rows["done"][:, None], 0, rows["value"])
        error = q - torch.from_numpy(target.astype(np.float32)).to(self.device)
        loss = functional.huber_loss(error, torch.zeros_like(error))
        start: dict[str, Tensor] = {}
        optimistic = loss
        if self.config.optimism or self.updates % EVERY == 0:
            hope, start = self.hope(payoffs, rows)
            optimistic = loss - self.optimism * hope
        norm = self.optimizer.descend(optimistic)
        self.updates += 1
        if self.updates % self.config.target_update == 0:
            self.target.load_state_dict(self.network.state_dict())
            self.copies += 1
        metrics |= {"loss": loss.detach(), "td_error": error.detach().abs().mean(), "grad_norm": norm.mean()}
        return metrics | start

    def solve_ahead(self, places: Ints) -> dict[str, Tensor]:
        """Compute the values of the next positions by the target network where they are not known; return the gap."""
        rows, places = self.replay.rows, np.unique(places)
        places = places[(rows["solved"][places] != self.copies) & ~rows["done"][places]]
        if not len(places):
            return {}
        legal = rows["next_legal"][places]
        with torch.inference_mode():
            ahead = self.target.by_head(*self._inputs(rows["next_obs"][places], rows["next_player"][places]))
        payoffs = ahead.cpu().numpy()
        solution = self.solve(payoffs[:, 0], legal, rows["next_other_legal"][places])
        sign = np.where(rows["next_player"][places] == rows["player"][places], 1, -1)
        values = [solution.values]
        if self.network.heads > 1:
            values.append(responses(payoffs[:, 1], solution.columns, legal).max(1))
        rows["value"][places], rows["solved"][places] = sign[:, None] * np.stack(values, 1), self.copies
        return {"duality_gap": torch.tensor(solution.gaps.mean())}

    def hope(self, payoffs: Tensor, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the values of both hypotheses at start positions, and the value there for player 0.

        The gradient of a value is that of the payoff of the strategies found.
        """
        starts = np.flatnonzero(rows["start"])[:STARTS]
        if not len(starts):
            return payoffs.new_zeros(()), {}
        here, legal = payoffs[torch.from_numpy(starts).to(self.device)], rows["legal"][starts]
        found = here.detach().cpu().numpy()
        solution = self.solve(found[:, 0], legal, rows["other_legal"][starts])
        worth = self._paid(here[:, 0], solution.rows, solution)
        seen = np.where(rows["player"][starts] == 0, 1, -1) * solution.values
        metrics = {"start_value": torch.tensor(seen.mean())}
        if self.network.heads > 1:
            earned = responses(found[:, 1], solution.columns, legal)
            best = np.arange(earned.shape[1]) == earned.argmax(1)[:, None]
            worth = worth + self._paid(here[:, 1], best.astype(np.float64), solution)
        return worth, metrics

    def _paid(self, payoffs: Tensor, x: Floats, solution: StageSolution) -> Tensor:
        """Return the mean payoff of strategies x against those of the solution's column player."""
        weights = np.einsum("bi,bj->bij", x, solution.columns).astype(np.float32)
        return (payoffs * torch.from_numpy(weights).to(self.device)).sum((1, 2)).mean()

    def _inputs(self, obs: np.ndarray, player: Ints) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(obs).to(self.device), torch.from_numpy(player).to(self.device)

    def agent_state(self) -> Tensors:
        return self.network.state_dict()

    @classmethod
    def load_agent(cls, config: MinimaxDqnConfig, spec: Spec, state: Tensors, *, device: str) -> Agent:
        with to_be_loaded():
            network = _network(config, spec, 0).to(device)
        network.load_state_dict(state)
        return StageAgent(network, device)

    def state(self) -> Tensors:
        state: Tensors = {"counters": torch.tensor([self.steps, self.updates, self.copies])}
        for name, part in (("network", self.network), ("target", self.target)):
            state |= prefixed(name, part.state_dict())
        return state | prefixed("optimizer", self.optimizer.state()) | prefixed("replay", self.replay.state())

    def load_state(self, state: Tensors) -> None:
        self.steps, self.updates, self.copies = state["counters"].tolist()
        self.network.load_state_dict(under("network", state))
        self.target.load_state_dict(under("target", state))
        self.optimizer.load_state(under("optimizer", state))
        self.replay.load_state(under("replay", state))


def _network(config: MinimaxDqnConfig, spec: Spec, key: int) -> StageNetwork:
    same = spec.interchangeable if config.interchangeable == "auto" else config.interchangeable
    return StageNetwork(
        spec,
        heads=2 if config.optimism else 1,
        hidden=config.hidden,
        channels=config.channels,
        encoder=config.encoder,
        interchangeable=same,
        key=key,
    )


def _refuse(spec: Spec) -> None:
    """Raise UserError for a game that does not fit."""
    for reason, misfit in (
        (f"is for two players, not {spec.num_players}; use ippo", spec.num_players != 2),
        (f"is {spec.payoff.replace('_', '-')}; use ippo", spec.payoff != "zero_sum"),
        ("has continuous actions; use ippo", not isinstance(spec.action, Discrete)),
        ("hides more than what is chosen at the same time; use ippo, or a population", not spec.perfect_information),
        ("has no positions, which tell the other's legal actions; use ippo", not spec.searchable),
    ):
        if misfit:
            raise UserError(
                "minimax_dqn needs a zero-sum game of two players that hides nothing but simultaneous choices, and "
                f"'{spec.name}' {reason}"
            )
