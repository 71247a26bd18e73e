"""What a store says of its game: enough to rate its games without making the game."""

import json
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from games.contract import Payoff, Teams
from games.errors import UserError
from tournaments.records.results import Results, rounding_of, settle
from tournaments.records.store import Store


class Facts(BaseModel):
    """The game of a store (a reference), and some fields of the game's Spec."""

    model_config = ConfigDict(strict=True)

    game: str
    num_players: PositiveInt
    payoff: Payoff
    step_rewards: bool = False
    return_bounds: tuple[float, float] | None = None
    opening_moves: NonNegativeInt = 0
    teams: Teams = ()

    @property
    def sides(self) -> int:
        """How many agents a game has: one for each team, or else for each seat."""
        return len(self.teams) or self.num_players

    @classmethod
    def of(cls, store: Store) -> "Facts":
        """Read the facts; raises UserError if they are missing or malformed."""
        spec, own = store.get("spec"), {"game": store.get("game"), "opening_moves": store.get("opening_moves", 0)}
        try:
            return cls.model_validate_json(json.dumps(dict(spec) | own))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"expected a store that says which game it holds, got '{store.path}'; run its tournament again"
            ) from error

    def settled(self, results: Results) -> Results:
        """Return games as they are rated: with the payoffs of forfeits settled, and bounds on the rounding errors."""
        results = results if len(results) else Results.of([], self.sides)
        if self.return_bounds is None:
            results = settle(results, self.payoff == "zero_sum")
            return replace(results, rounding=rounding_of(results))
        largest = max(map(abs, self.return_bounds)) * max(map(len, self.teams), default=1)
        return replace(results, rounding=rounding_of(results, largest))
