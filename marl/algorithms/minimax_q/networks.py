"""The network of stage games: from what a player sees to its payoffs by both players' actions."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from games.contract import Spec
from marl.learning.networks import Network, generator_of


class StageNetwork(Network):
    """Map views [B, *O] of players [B] to payoffs [B, heads * A * A'], by the player's own action first.

    If the seats are `interchangeable` a player sees its position as the other would see it with seats exchanged, and
    one function serves both; else the player's number is an input.
    """

    def __init__(
        self,
        spec: Spec,
        heads: int,
        *,
        hidden: Sequence[int],
        channels: Sequence[int],
        encoder: Literal["auto", "mlp", "cnn"],
        interchangeable: bool,
        key: int,
    ) -> None:
        actions = spec.num_actions
        super().__init__(
            spec,
            heads * actions**2,
            hidden=hidden,
            channels=channels,
            encoder=encoder,
            player_id=not interchangeable,
            output_gain=0.01,
            generator=generator_of(key),
        )
        self.heads, self.actions = heads, actions

    def payoffs(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return the outputs [B, heads * A * A'], in play."""
        return self(obs, player)  # type: ignore[no-any-return]

    def by_head(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return payoffs [B, heads, A, A'], in training."""
        outputs: Tensor = self(obs, player)
        return outputs.view(-1, self.heads, self.actions, self.actions)
