"""AlphaZero: search, and a network that learns from what the search found (Silver et al. 2018,
https://doi.org/10.1126/science.aar6404).

A search whose priors and values come from a network plays better than the network's policy alone. So the network
learns to say at once what the search took its simulations to find, and the search, asking a better network, goes
further. With p, v the network's word on a position, π what the search made of its root, z how the game went,

    L = - sum_a π_a log p_a + (z̃ - v)² + c |θ|²,   z̃ = (1 - m) z + m (value of the root)

Here: one self-play generation a rollout, in the shared loop, all games searched in one call; then the updates due.
`rule: gumbel` is Gumbel AlphaZero (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO): π is then its
improved policy.

Deviations: values are vectors, one for each player, so that three players and payoffs of any sum need no other code;
Adam instead of SGD with momentum; a share of the moves may be searched cheaply (`cheap_share`), as KataGo does; who
gives up plays on cheaply (`resign_below`), so that every outcome is that of the rules.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.algorithms.zero.agent import PolicyAgent
from marl.algorithms.zero.learner import SearchConfig, SearchLearner, budget, rated, refuse_unfit
from marl.algorithms.zero.networks import Judge, PolicyValue, refuse_network
from marl.base.schema import Size
from marl.learning.networks import generator_of, masked_log_probs
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors
from marl.search.agent import SearchAgent, refuse
from marl.search.evaluators import NetworkEvaluator
from marl.search.models import exact
from marl.search.values import by_mover, scaled


class AlphaZeroConfig(SearchConfig):
    """The settings of AlphaZero."""

    cheap_simulations: Size = 16  # of the moves that are searched cheaply; their policies are not learned
    cheap_share: float = Field(0.0, ge=0, lt=1)  # of all moves
    resign_below: float = Field(-1.0, ge=-1, le=1)  # a player whose scaled value was lower moves cheaply; -1: never
    no_resign_share: float = Field(0.1, ge=0, le=1)  # of the players' games, in which they never give up
    solve: bool = True  # back up proven values


def loss(
    said: Tensor, action_mask: Tensor, policy: Tensor, value: Tensor, searched: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of [B, A + N] that the network said, against a search's policy [B, A] and values [B, N]."""
    logits, v = said.split([action_mask.shape[1], value.shape[1]], 1)
    log_p = masked_log_probs(logits, action_mask)
    weight = searched.float() / searched.float().sum().clamp_min(1)
    policy_loss = -(policy * log_p).sum(1) @ weight
    value_loss = (v - value).square().mean()
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    of_search = -(policy * policy.clamp_min(1e-12).log()).sum(1) @ weight
    metrics = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "search_entropy": of_search}
    return policy_loss + value_loss, {name: metric.detach() for name, metric in metrics.items()}


class AlphaZero(SearchLearner[PolicyValue]):
    """Learn from what a search made of positions, and from how their games went.

    Raises UserError for games without positions, with hidden information or simultaneous moves, and for more actions
    than a network's head should have.
    """

    Config: ClassVar[type[BaseModel]] = AlphaZeroConfig

    def __init__(self, config: AlphaZeroConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        network = _network(config, spec, stream(key, "network"))
        may_resign = config.resign_below > -1
        super().__init__(config, spec, network, key=key, total_steps=total_steps, device=device, may_resign=may_resign)
        self.judge = Judge(network, spec, device, precision=config.precision, backend=config.backend)
        self.evaluator = NetworkEvaluator(spec, self.judge)
        self._actor = SearchAgent(
            spec,
            partial(exact, spec, self.evaluator),
            config.selection(noisy=True),
            simulations=config.simulations,
            sampled=config.sampled_moves,
            cheap=config.cheap_simulations,
            cheap_share=config.cheap_share,
            resign_below=config.resign_below,
            no_resign_share=config.no_resign_share,
            solve=config.solve,
        )

    def actors(self) -> Sequence[Agent]:
        return [self._actor]

    def agent(self) -> Agent:
        config, model = self.config, partial(exact, self.spec, self.evaluator)
        return rated(config, self.spec, model, simulations=config.simulations, solve=config.solve)

    def renew(self) -> None:
        self.judge.renew(self.network)
        self.evaluator.forget()

    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.turned(self.replay.sample(self.config.batch_size, key), key)
        m = self.config.root_value_share
        value = (1 - m) * rows["outcome"] + m * rows["root_value"]
        rows["value"] = by_mover(scaled(value, self.spec), rows["player"]).astype("float32")
        tensor = {name: torch.from_numpy(array).to(self.device) for name, array in rows.items()}
        said = self.network(self.network.see(tensor["obs"], tensor["player"])).float()
        return loss(said, tensor["action_mask"], tensor["policy"], tensor["value"], tensor["searched"])

    @classmethod
    def load_agent(
        cls,
        config: Any,
        spec: Spec,
        state: Tensors,
        *,
        device: str,
        simulations: int | None = None,
        solve: bool | None = None,
        reuse: bool = False,
        sampled_moves: int = 0,
        leaves: int = 1,
        backend: str | None = None,
        search: bool = True,
        greedy: bool = False,
    ) -> Agent:
        network = _network(config, spec, 0).to(device)
        network.load_state_dict(state)
        judge = Judge(
            network, spec, device, precision=config.precision, backend=config.backend if backend is None else backend
        )
        of_search = {"simulations": simulations, "solve": solve, "sampled_moves": sampled_moves}
        refuse_unfit(search, greedy, **of_search, reuse=reuse, leaves=leaves != 1)
        if not search:
            return PolicyAgent(judge, greedy=greedy)
        refuse(spec, "alphazero")
        return rated(
            config,
            spec,
            partial(exact, spec, NetworkEvaluator(spec, judge)),
            simulations=budget("alphazero", config, simulations, sampled_moves),
            sampled=sampled_moves,
            leaves=leaves,
            solve=config.solve if solve is None else solve,
            reuse=reuse,
        )


def _network(config: AlphaZeroConfig, spec: Spec, key: int) -> PolicyValue:
    sizes = {"hidden": config.hidden, "channels": config.channels, "blocks": config.blocks}
    return PolicyValue(spec, generator_of(key), encoder=config.encoder, **sizes)  # type: ignore[arg-type]


def _refuse(config: AlphaZeroConfig, spec: Spec) -> None:
    refuse(spec, "alphazero")
    if "|" in spec.name:
        raise UserError(f"alphazero sees a game's own positions; leave the wrappers out, got '{spec.name}'")
    refuse_network(spec, "alphazero", config.encoder)
    if config.resign_below > -1 and (spec.step_rewards or spec.num_players == 1):
        raise UserError(
            f"resign_below says when a game is lost, and '{spec.name}' "
            f"{'pays on the way' if spec.step_rewards else 'has one player'}; leave it out"
        )
    if spec.return_bounds is None:
        raise UserError(
            f"alphazero scales values by a game's return_bounds, and the Spec of '{spec.name}' has none; add them"
        )
