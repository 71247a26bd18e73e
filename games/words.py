"""A decision in words, for who reads: what its player may see, and its moves by their names.

The position is shown where the game hides nothing, else the game's own words for the player (`describe`), else the
numbers of the player's view.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from games.arrays import Views
from games.contract import State, VecEnv
from games.vector import action_name, position

MOST_NUMBERS = 200  # of a view that are written out


class Moves:
    """The moves of one decision, by their names, and by their places in the list, counted from 1.

    A game without words calls its moves by numbers; these are then the only ones.
    """

    def __init__(self, names: Sequence[str], actions: Sequence[int]) -> None:
        self.names, self.actions = [name.strip() for name in names], actions
        self.numbered = not any(name.isdecimal() for name in self.names)

    def listed(self, most: float = math.inf) -> str:
        """Return the moves as a person may type them, in about `most` letters, and how many more there are."""
        words = [f"{place} {name}" for place, name in enumerate(self.names, 1)] if self.numbered else self.names
        ends = accumulate(len(word) + 2 for word in words)
        first = [word for word, end in zip(words, ends, strict=True) if end <= most] or words[:1]
        return ", ".join(first) + (f" and {len(words) - len(first)} more" if len(words) > len(first) else "")

    def find(self, said: str) -> int | None:
        """Return the action that was typed, by name or by place; None where it is none, or several are called so."""
        places = [str(place + 1) for place in range(len(self.actions))] if self.numbered else []
        action = self.named(said)
        return self.actions[places.index(said)] if action is None and said in places else action

    def named(self, said: str) -> int | None:
        """Return the action that has a name, whatever its case; None where none has, or several."""
        folded = [name.casefold() for name in self.names]
        for names, word in ((self.names, said), (folded, said.casefold())):
            if names.count(word) == 1:
                return self.actions[names.index(word)]
        return None


@dataclass(frozen=True)
class Words:
    """A decision in words: what its player may see, and its legal moves."""

    position: str
    moves: Moves


def words_of(state: State, player: int, view: Views, legal: Sequence[int], *, perfect_information: bool) -> Words:
    """Return the words of a decision at a position; `view` [*O] is what the player sees as numbers."""
    described: Any = getattr(state, "describe", None)
    told = described(player) if described else ""
    if not told and perfect_information:
        told = position(state)
    return Words(_shown(told) or numbers(view), Moves([action_name(state, player, a) for a in legal], legal))


def words_at(venv: VecEnv, env: int, player: int, view: Views, legal: Sequence[int]) -> Words:
    """Return the words of a decision in one environment; `view` [*O] is what the player sees as numbers."""
    moves = Moves([word(venv, env, player, action) for action in legal], legal)
    return Words(sees(venv, env, player) or numbers(view), moves)


def words_of_numbers(view: Views, legal: Sequence[int]) -> Words:
    """Return the words of a decision of which nothing is known but the numbers `view` [*O] and the legal actions."""
    return Words(numbers(view), Moves([str(action) for action in legal], legal))


def sees(venv: VecEnv, env: int, player: int) -> str:
    """Return what a player may see now, in words; empty where the game has none for it."""
    describe, render = getattr(venv, "describe", None), getattr(venv, "render", None)
    told = describe(env, player) if describe else ""
    if not told and render and venv.spec.perfect_information:
        told = render(env)
    return _shown(told)


def word(venv: VecEnv, env: int, player: int, action: int) -> str:
    """Return the word that a game has for an action, else its number."""
    named = getattr(venv, "action_name", None)
    return str(named(env, player, action)) if named else str(action)


def numbers(view: Views) -> str:
    """Return a view that has no words as numbers; the middle of a long one is left out."""
    view = view.astype(np.float64)
    if np.isfinite(view).all() and (view == view.round()).all():
        view = view.astype(np.int64)
    written = np.array2string(view, precision=3, suppress_small=True, threshold=MOST_NUMBERS)
    return f"you see {' x '.join(map(str, view.shape))} numbers:\n{written}"


def _shown(told: object) -> str:
    return str(told).rstrip()
