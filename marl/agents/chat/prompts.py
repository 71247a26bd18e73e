"""What a language model is told and asked: the position, its moves, the form of an answer, and why to think again.

The form of an answer is that of DeepMind's game_arena: reasoning first, then a line `Final answer: MOVE`.
"""

import re
from pathlib import Path

from games.contract import Spec
from games.errors import UserError
from games.words import Words
from marl.base.digests import digest
from marl.base.files import read_text

MOST_PROMPT = 1 << 20  # bytes of a prompt's file
REQUIRED = ("position", "moves")

POSITION = """You are playing the game {game} as player {player}; its {players} players are numbered from 0.

This is what you can see now:

{position}

Your legal moves, one on each line:

{moves}"""

MOVE = """Choose the move that is best for you. Reason step by step if it helps, then end your answer with one line:

Final answer: MOVE

where MOVE is one of the legal moves, written exactly as in the list."""

CANDIDATES = """Name up to {candidates} moves that may be best for you, the best first, each with the share of the times
that you would play it, in percent. Reason step by step if it helps, then end your answer with one line for each:

Final answer: SHARE% MOVE

where SHARE is a number and MOVE is one of the legal moves, written exactly as in the list."""

VALUE = """Say how good this position is for you: 1 if you lose for certain, 50 if the chances are even, 100 if you win
for certain. Reason step by step if it helps, then end your answer with one line:

Final answer: NUMBER"""

ILLEGAL = """Your answer names '{said}', which is none of the legal moves. They are:

{moves}

Think again, and name one of them. """
UNREADABLE = "Your answer has no line that begins with 'Final answer:' and can be read. Answer again. "
CUT = "Your answer was cut off, because it was too long. Answer again, in fewer words. "

ALL = (MOVE, CANDIDATES, VALUE, ILLEGAL, UNREADABLE, CUT)


class Prompt:
    """The text that shows a position: ours, or that of a user's file, with the names in curly brackets that `POSITION`
    has.

    Raises UserError for a file that cannot be read, or that shows no {position} or no {moves}.
    """

    def __init__(self, spec: Spec, path: str | None) -> None:
        self._spec, self._text = spec, POSITION if path is None else _read(path)
        self.digest = digest([self._text, *ALL])  # of all that a model is told, but for the game

    def position(self, words: Words, player: int) -> str:
        """Return what tells a player of a position and its moves."""
        fields = {
            "game": self._spec.name,
            "player": player,
            "players": self._spec.num_players,
            "position": words.position,
            "moves": listed(words),
        }
        return filled(self._text, **fields)


def listed(words: Words) -> str:
    """Return the legal moves, one on each line."""
    return "\n".join(words.moves.names)


def filled(text: str, **fields: object) -> str:
    """Return a text with the values of names in curly brackets; any other bracket stays as it is."""
    return re.sub(rf"\{{({'|'.join(fields)})\}}", lambda name: str(fields[name[1]]), text)


def _read(path: str) -> str:
    try:
        text = read_text(Path(path), MOST_PROMPT).rstrip()
    except (OSError, ValueError) as error:
        raise UserError(f"expected a text file as prompt of 'chat', got '{path}' ({error}); name another") from error
    if absent := [name for name in REQUIRED if f"{{{name}}}" not in text]:
        raise UserError(
            f"expected a prompt that shows {' and '.join(f'{{{name}}}' for name in REQUIRED)}, got '{path}' without "
            f"{{{absent[0]}}}; write it where the {absent[0]} should stand"
        )
    return text
