"""What an agent may spend: tokens, or money by the prices that the user gives."""

from dataclasses import dataclass

from games.errors import RunFailed, UserError

MILLION = 1_000_000


@dataclass(frozen=True)
class Budget:
    """The most tokens, and the most dollars, that an agent may spend; None for no limit.

    Prices are dollars for a million tokens of prompts, and of answers. Raises UserError for a budget of nothing, and
    for dollars without prices.
    """

    tokens: int | None = None
    dollars: float | None = None
    prompt_price: float | None = None
    answer_price: float | None = None

    def __post_init__(self) -> None:
        for name, most in (("tokens", self.tokens), ("dollars", self.dollars)):
            if most is not None and not most > 0:
                raise UserError(f"expected {name} of 'chat' above 0, got {most}; leave it out for no limit")
        prices = self.prompt_price, self.answer_price
        if self.dollars is not None and (
            None in prices or not all(price is not None and price >= 0 for price in prices)
        ):
            raise UserError(
                "dollars of 'chat' needs the prices of a million tokens, from 0 on: prompt_price=... and "
                f"answer_price=..., got {self.prompt_price} and {self.answer_price}"
            )

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.tokens is not None or self.dollars is not None

    def check(self, prompts: int, answers: int) -> None:
        """Raise RunFailed where these tokens of prompts and of answers have spent the budget."""
        if self.tokens is not None and prompts + answers >= self.tokens:
            raise self._spent(f"{self.tokens:,} tokens", "tokens")
        if self.dollars is not None and self._dollars(prompts, answers) >= self.dollars:
            raise self._spent(f"{self.dollars:g} dollars", "dollars")

    def _dollars(self, prompts: int, answers: int) -> float:
        return (prompts * (self.prompt_price or 0) + answers * (self.answer_price or 0)) / MILLION

    def _spent(self, most: str, name: str) -> RunFailed:
        return RunFailed(
            f"the budget of 'chat', {most}, is spent; all answers are kept: raise {name}=..., and run again to go on"
        )
