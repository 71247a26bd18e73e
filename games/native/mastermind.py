"""Mastermind: break a hidden code of `pegs` pegs in `colours` colours, each colour as often as one likes.

A guess is answered by two numbers: black, the pegs of the right colour in the right place, and white, the further pegs
of a right colour in a wrong place. Each guess costs 1; a code that is not broken by the last guess costs 1 more.

With 4 pegs and 6 colours there are 1,296 codes. Knuth's guesser needs 4.476 guesses on average and never more than 5
(Knuth 1977, The computer as Master Mind, J. Recreational Mathematics 9); the best possible mean is 4.340 (Koyama and
Lai 1993).
"""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Views
from games.contract import Array, Discrete, Spec
from games.drawing.pegs import Guess, pegs
from games.drawing.svg import Drawing
from games.keys import uniform_one

MOST_CODES = 4096  # the answers of all codes to all guesses are a table
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # how colours are shown


class Mastermind:
    """One player and a code that it cannot see. Action k guesses code k; codes are numbered lexicographically.

    A player sees its guesses and their answers, [guesses, pegs * colours + 2 * (pegs + 1)]: the colour of each peg,
    black and white as one-hots; zeros for guesses to come. Raises ValueError for arguments out of range.
    """

    def __init__(self, pegs: int = 4, colours: int = 6, guesses: int = 10) -> None:
        if pegs < 1 or not 2 <= colours <= len(LETTERS) or guesses < 1 or colours**pegs > MOST_CODES:
            raise ValueError(
                f"expected at least one peg and one guess, 2 to {len(LETTERS)} colours and at most {MOST_CODES:,} "
                f"codes (colours to the power of pegs), got pegs={pegs}, colours={colours}, guesses={guesses}"
            )
        self.pegs, self.colours, self.guesses = pegs, colours, guesses
        self.codes = code_pegs(pegs, colours)
        self.answers = answer_table(pegs, colours)
        self.broken = answer(pegs, 0, pegs)
        self.every = range(len(self.codes))
        self.outcomes = [(code, 1 / len(self.codes)) for code in self.every]
        width = pegs * colours
        seen = np.zeros((len(self.codes), pegs, colours), np.float32)
        np.put_along_axis(seen, self.codes[..., None], 1, 2)
        self.seen_guess = seen.reshape(len(self.codes), width)
        blacks, whites = np.divmod(np.arange((pegs + 1) ** 2), pegs + 1)
        one = np.eye(pegs + 1, dtype=np.float32)
        self.seen_answer = np.hstack([one[blacks], one[whites]])
        self.spec = Spec(
            name=f"mastermind(pegs={pegs}, colours={colours}, guesses={guesses})",
            num_players=1,
            observation=Array((guesses, width + 2 * (pegs + 1))),
            action=Discrete(len(self.codes)),
            payoff="team",
            turns="sequential",
            perfect_information=False,
            chance=True,
            searchable=True,
            max_length=guesses,
            return_bounds=(-float(guesses + 1), -1.0),
        )

    def __reduce__(self) -> tuple[type["Mastermind"], tuple[int, int, int]]:
        """Let positions be pickled without the tables, which every process has once."""
        return Mastermind, (self.pegs, self.colours, self.guesses)

    def initial_state(self) -> "MastermindState":
        return MastermindState(self)


class MastermindState:
    """The code, None until chance has drawn it, and the guesses and answers so far."""

    __slots__ = ("answers", "code", "game", "guesses")

    def __init__(
        self, game: Mastermind, code: int | None = None, guesses: tuple[int, ...] = (), answers: tuple[int, ...] = ()
    ) -> None:
        self.game, self.code, self.guesses, self.answers = game, code, guesses, answers

    def clone(self) -> "MastermindState":
        return MastermindState(self.game, self.code, self.guesses, self.answers)

    def acting(self) -> tuple[int, ...]:
        return () if self.code is None or self.is_terminal() else (0,)

    def legal_actions(self, player: int) -> Sequence[int]:
        return self.game.every if self.acting() else ()

    def chance_outcomes(self) -> Sequence[tuple[int, float]]:
        return self.game.outcomes if self.code is None else ()

    def apply_chance(self, outcome: int) -> None:
        self.code = outcome

    def apply(self, actions: Sequence[int]) -> None:
        guess = actions[0]
        self.guesses += (guess,)
        self.answers += (int(self.game.answers[guess, self.code]),)

    def is_terminal(self) -> bool:
        return self._broken() or len(self.guesses) == self.game.guesses

    def returns(self) -> Sequence[float]:
        unbroken = len(self.guesses) == self.game.guesses and not self._broken()
        return (-float(len(self.guesses) + unbroken),)

    def observe(self, player: int, out: Views) -> None:
        game = self.game
        rows = out.reshape(game.spec.observation.shape)
        width, made = game.pegs * game.colours, len(self.guesses)
        rows[made:] = 0
        if made:
            rows[:made, :width] = game.seen_guess[list(self.guesses)]
            rows[:made, width:] = game.seen_answer[list(self.answers)]

    def key(self) -> Hashable:
        return self.code, self.guesses

    def information(self, player: int) -> Hashable:
        return self.guesses, self.answers

    def resample(self, player: int, key: int) -> "MastermindState":
        """Return the position with a code drawn uniformly among those that agree with all answers."""
        left = np.flatnonzero(consistent(self.game.answers, self.guesses, self.answers))
        return MastermindState(self.game, int(left[int(uniform_one(key) * len(left))]), self.guesses, self.answers)

    def action_name(self, player: int, action: int) -> str:
        return _shown(self.game.codes[action])

    def describe(self, player: int) -> str:
        lines = [f"{guess}: {black} black, {white} white" for guess, black, white in self._told()]
        return "\n".join(lines) or "no guess yet"

    def draw(self, player: int | None) -> Drawing:
        code = _shown(self.game.codes[self.code]) if player is None and self.code is not None else None
        return pegs(code, self._told(), self.game.pegs, self.game.guesses, self.describe(0))

    def _told(self) -> list[Guess]:
        """Return the guesses, each with the black and the white pegs of its answer."""
        pairs = zip(self.guesses, self.answers, strict=True)
        return [(_shown(self.game.codes[guess]), *divmod(given, self.game.pegs + 1)) for guess, given in pairs]

    def __str__(self) -> str:
        code = "not drawn" if self.code is None else _shown(self.game.codes[self.code])
        return f"code {code}\n{self.describe(0)}"

    def _broken(self) -> bool:
        return bool(self.answers) and self.answers[-1] == self.game.broken


def answer(black: int, white: int, pegs: int) -> int:
    """Return the number of an answer, black * (pegs + 1) + white."""
    return black * (pegs + 1) + white


@cache
def code_pegs(pegs: int, colours: int) -> NDArray[np.int64]:
    """Return the colours [codes, pegs] of all codes, in lexicographic order."""
    return np.stack(np.unravel_index(np.arange(colours**pegs), (colours,) * pegs), 1)


@cache
def answer_table(pegs: int, colours: int) -> NDArray[np.uint8]:
    """Return the number of the answer to each guess, if each code is the hidden one [guess, code]."""
    codes = code_pegs(pegs, colours)
    black = sum((codes[:, None, peg] == codes[None, :, peg]).astype(np.uint8) for peg in range(pegs))
    count = (codes[:, :, None] == np.arange(colours)).sum(1).astype(np.uint8)  # [codes, colours]
    both: Any = sum(np.minimum(count[:, None, c], count[None, :, c]) for c in range(colours))
    table: NDArray[np.uint8] = answer(black, both - black, pegs)  # type: ignore[assignment]
    return table


def consistent(table: NDArray[np.uint8], guesses: Sequence[int], answers: Sequence[int]) -> NDArray[np.bool_]:
    """Return which codes [codes] would have given all these answers to these guesses."""
    left = np.ones(len(table), bool)
    for guess, given in zip(guesses, answers, strict=True):
        left &= table[guess] == given
    return left


def _shown(pegs: NDArray[np.int64]) -> str:
    return "".join(LETTERS[colour] for colour in pegs)
