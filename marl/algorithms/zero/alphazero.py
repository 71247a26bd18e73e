"""AlphaZero: search, and a network that learns from what the search found (Silver et al. 2018,
https://doi.org/10.1126/science.aar6404).

A search whose priors and values come from a network plays better than the network's policy alone. So the network
learns the search's policy and the games' outcomes, and a search with a better network plays better still. With p, v the
network's output for a position, π the search's policy at its root, and z the outcome of the game,

    L = - sum_a π_a log p_a + (z̃ - v)² + c |θ|²,   z̃ = (1 - m) z + m (value of the root)

Here each rollout is one generation of self-play, with one search call for all games; then come the updates that are
due. `rule: gumbel` is Gumbel AlphaZero (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO): π is then
its improved policy.

Deviations: values are vectors with one entry for each player, so the same code serves any number of players and
payoffs of any sum; Adam instead of SGD with momentum; a share of the moves may be searched with fewer simulations
(`cheap_share`), as in KataGo; a player who would resign plays on with those (`resign_below`), so that every outcome
follows from the rules.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.algorithms.zero.learner import RatedOptions, SearchConfig, SearchLearner
from marl.algorithms.zero.networks import PolicyValue, PolicyValueInference, head_of, refuse_network
from marl.base.schema import Size
from marl.learning.idle import Needs
from marl.learning.networks import generator_of, masked_log_probs, to_be_loaded
from marl.learning.value_heads import SCALAR, ValueHead
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors
from marl.search.agent import SearchAgent, refuse
from marl.search.evaluators import NetworkEvaluator
from marl.search.models import exact
from marl.search.values import by_mover, scaled


class AlphaZeroConfig(SearchConfig):
    """The settings of AlphaZero."""

    cheap_simulations: Size = 16  # of the cheap searches, whose policies are not learned
    cheap_share: float = Field(0.0, ge=0, lt=1)  # share of the moves with a cheap search
    resign_below: float = Field(-1.0, ge=-1, le=1)  # below this scaled value a player's searches are cheap; -1: never
    no_resign_share: float = Field(0.1, ge=0, le=1)  # share of a player's games in which it never resigns
    solve: bool = True  # back up proven values


def loss(
    output: Tensor, action_mask: Tensor, policy: Tensor, value: Tensor, searched: Tensor, head: ValueHead = SCALAR
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a network's output [B, A + N * bins], against a search's policy [B, A] and values [B, N]."""
    logits, v = output.tensor_split([action_mask.shape[1]], 1)
    v = head.parted(v)
    log_p = masked_log_probs(logits, action_mask)
    weight = searched.float() / searched.float().sum().clamp_min(1)
    policy_loss = -(policy * log_p).sum(1) @ weight
    value_loss = head.loss(v, value).mean()
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    search_entropy = -(policy * policy.clamp_min(1e-12).log()).sum(1) @ weight
    metrics = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "search_entropy": search_entropy,
    } | head.metrics(v, value)
    return policy_loss + value_loss, {name: metric.detach() for name, metric in metrics.items()}


class AlphaZero(SearchLearner[PolicyValue]):
    """AlphaZero: the policies that searches found, and the outcomes of games.

    Raises UserError for games without positions, with hidden information or simultaneous moves, and for more actions
    than MOST_ACTIONS.
    """

    Config: ClassVar[type[BaseModel]] = AlphaZeroConfig
    config: AlphaZeroConfig

    def __init__(self, config: AlphaZeroConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        network = _network(config, spec, stream(key, "network"))
        may_resign = config.resign_below > -1
        super().__init__(config, spec, network, key=key, total_steps=total_steps, device=device, may_resign=may_resign)
        self.inference = PolicyValueInference(
            network, spec, device, precision=config.precision, backend=self.config.backend
        )
        self.evaluator = NetworkEvaluator(spec, self.inference)
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

    @classmethod
    def needs(cls, config: SearchConfig, spec: Spec) -> Needs:
        assert isinstance(config, AlphaZeroConfig)
        resigns = config.resign_below > -1
        return {
            **super().needs(config, spec),
            "cheap_simulations": (config.cheap_share > 0 or resigns, "cheap_share above 0, or resign_below above -1"),
            "no_resign_share": (resigns, "resign_below above -1"),
        }

    def actors(self) -> Sequence[Agent]:
        return [self._actor]

    def agent(self) -> Agent:
        model = partial(exact, self.spec, self.evaluator)
        return RatedOptions("alphazero", self.config).agent(self.spec, self.inference, model, solve=self.config.solve)

    def renew(self) -> None:
        self.inference.renew(self.network)
        self.evaluator.forget()

    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.augmented(self.replay.sample(self.config.batch_size, key), key)
        m = self.config.root_value_share
        value = (1 - m) * rows["outcome"] + m * rows["root_value"]
        rows["value"] = by_mover(scaled(value, self.spec), rows["player"]).astype("float32")
        tensor = {name: torch.from_numpy(array).to(self.device) for name, array in rows.items()}
        output = self.network(self.network.encode(tensor["obs"], tensor["player"])).float()
        return loss(
            output, tensor["action_mask"], tensor["policy"], tensor["value"], tensor["searched"], self.network.head
        )

    @classmethod
    def load_agent(
        cls,
        config: AlphaZeroConfig,
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
        config = cls.resolved(config, spec, device=device)
        with to_be_loaded():
            network = _network(config, spec, 0).to(device)
        network.load_state_dict(state)
        inference = PolicyValueInference(
            network, spec, device, precision=config.precision, backend=config.backend if backend is None else backend
        )
        options = RatedOptions(
            "alphazero",
            config,
            simulations,
            sampled_moves,
            leaves,
            solve=solve,
            reuse=reuse,
            search=search,
            greedy=greedy,
        )
        if search:
            refuse(spec, "alphazero")
        model = partial(exact, spec, NetworkEvaluator(spec, inference))
        return options.agent(spec, inference, model, solve=config.solve)


def _network(config: AlphaZeroConfig, spec: Spec, key: int) -> PolicyValue:
    head = head_of(config, spec)
    sizes = {"hidden": config.hidden, "channels": config.channels, "blocks": config.blocks}
    return PolicyValue(spec, generator_of(key), head=head, encoder=config.encoder, **sizes)  # type: ignore[arg-type]


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
