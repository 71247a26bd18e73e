"""What a model has answered, read and checked: the moves that it names, or a value.

The last lines `Final answer: ...` count, also within Markdown; without any, the last line of the answer. A move is
found by its name, whatever its case, or by the last words of it where no other legal move ends so: `3` is the move
`[P0]Bid: 3`. Its place in the list does not count, as it could be mistaken for such a number.
"""

import re
from collections.abc import Sequence

from games.words import Moves

LONGEST_SAID = 60  # characters of what was named in place of a move

_THOUGHT = re.compile(
    r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE
)  # as local models mark what is not yet an answer
_FINAL = re.compile(r"final\s+answer(?:\s+is)?[\s*_]*:[\s*_]*(.+)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}+")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%[\s:,-]*(.+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_AROUND = " \t*_`'\"$<>[].,;!"  # what Markdown and habit put around a move


def moves_named(answer: str, moves: Moves, most: int) -> tuple[dict[int, float], str]:
    """Return the legal actions that an answer names, `most` of them, the first one first, with shares that sum to 1.

    Others that it names are left out. The second is what it names last, legal or not; empty where nothing can be read.
    """
    lines = _final(answer)[-1:] if most == 1 else _final(answer)[:most]
    shares: dict[int, float] = {}
    for line in lines:
        action, share = _move(line, moves)
        if action is not None and action not in shares and share > 0:
            shares[action] = share
    total = sum(shares.values())
    said = lines[-1][:LONGEST_SAID] if lines else ""
    return {action: share / total for action, share in shares.items()}, said


def value_named(answer: str) -> float | None:
    """Return the value from 0 to 1 that an answer gives as a number from 1 to 100; None where it gives none."""
    for line in reversed(_final(answer)):
        number = _NUMBER.search(line)
        if number and 1 <= float(number[0]) <= 100:
            return (float(number[0]) - 1) / 99
    return None


def _final(answer: str) -> list[str]:
    """Return what stands behind `Final answer:`, line by line; without any, the last line."""
    lines = [line.strip() for line in _THOUGHT.sub("", answer).splitlines()]
    found = [final[1].strip() for line in lines if (final := _FINAL.search(line))]
    return found or [line for line in lines if line][-1:]


def _move(line: str, moves: Moves) -> tuple[int | None, float]:
    """Return the action that a line names, or None, and its share: 1 where it gives none."""
    for text, share in _readings(line):
        if (action := moves.named(text)) is not None:
            return action, share
    names = [_bare(name) for name in moves.names]
    for same in (str.__eq__, _ends):
        for text, share in _readings(line):
            found = [action for name, action in zip(names, moves.actions, strict=True) if same(name, _bare(text))]
            if len(found) == 1:
                return found[0], share
    return None, 0.0


def _bare(text: str) -> str:
    """Return what is left of a name without what may stand around it."""
    return text.strip(_AROUND).casefold()


def _ends(name: str, words: str) -> bool:
    """Return whether a name ends with whole words."""
    before = name[: len(name) - len(words)][-1:]
    joined = (before.isalnum() and words[:1].isalnum()) or before in ("-", ".")
    return bool(words) and name.endswith(words) and not joined


def _readings(line: str) -> Sequence[tuple[str, float]]:
    """Return what a line may say, the plainest first, with the share that it then gives."""
    boxed = [(found, 1.0) for found in _BOXED.findall(line)]
    shared = _SHARE.match(line.strip(_AROUND))
    return [(line, 1.0), *boxed, *([(shared[2], float(shared[1]))] if shared else [])]
