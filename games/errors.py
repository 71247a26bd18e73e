"""The errors that a user sees, as one sentence each.

Exception
└── UserError          what was expected, what came, what to do; exit code 2, nothing was written
    └── RunFailed      a run that failed; exit code 1, what it had saved is kept
        ├── GameFailed     ... because a game raised or broke a promise: where, when, and from which seed
        ├── Diverged       ... because what is learned is no longer finite
        └── WorkerDied     ... because a worker process died
"""

import difflib
import importlib
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from games.text import cut, sentence

LONGEST_VALUE = 80  # characters
LONGEST_NAME = 100  # characters; longer names get no suggestion
NEAR, NEAR_SHORT = 0.75, 0.66  # difflib's cutoffs for suggestions: 'ippo' must not suggest 'mappo'


class UserError(Exception):
    """Report bad input: expected, got, remedy, in one sentence that can be shown as it is (games/text.py)."""

    exit_code = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(sentence(text))


class RunFailed(UserError):
    """Report work that failed while it ran; what was saved is kept."""

    exit_code = 1


class GameFailed(RunFailed):
    """Report a game that raised or broke a promise, with the environment, the step and the episode's seed."""

    def __init__(self, game: str, environment: int, step: int, seed: int, what: str) -> None:
        self.game, self.environment, self.step, self.seed, self.what = game, environment, step, seed, what
        super().__init__(
            f"'{game}' {what}: environment {environment}, step {step} of the episode with seed {seed}; "
            f"`marl games check` tests the game by itself"
        )

    def __reduce__(self) -> tuple[type, tuple[str, int, int, int, str]]:
        return type(self), (self.game, self.environment, self.step, self.seed, self.what)


class Diverged(RunFailed):
    """Report training whose losses or weights are no longer finite."""


class WorkerDied(RunFailed):
    """Report a worker process that died before it answered."""


def written(value: object) -> str:
    """Return a value's `repr` for a message; the middle of a long one is cut out."""
    return cut(repr(value), LONGEST_VALUE)


def in_words(error: BaseException) -> str:
    """Return an error's type and message on one line, such as `ValueError: no`; the type alone if `str` raises."""
    try:
        message = " ".join(str(error).split())
    except BaseException:
        message = ""
    return ": ".join(filter(None, (type(error).__name__, message)))


def unforeseen(error: Exception) -> str:
    """Return the message for an error that is no UserError."""
    torch_has_none = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    if isinstance(error, MemoryError) or torch_has_none:
        return "there is not enough memory for what was asked; ask for less at once"
    if isinstance(error, OSError) and error.strerror:  # such as a full disk
        where = f" ('{error.filename}')" if error.filename else ""
        return f"a file or the output could not be read or written: {error.strerror}{where}"
    return f"unexpected {in_words(error)}"


@contextmanager
def numbered_from(start: int) -> Iterator[None]:
    """Add `start` to the environment of a GameFailed raised inside: the environments are part of a larger batch."""
    try:
        yield
    except GameFailed as error:
        raise GameFailed(error.game, start + error.environment, error.step, error.seed, error.what) from error


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known word that is closest in spelling, or an empty string."""
    match = closest(word, known)
    return f"; did you mean '{match}'?" if match else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is closest in spelling, or an empty string if none is close."""
    if len(word) > LONGEST_NAME:
        return ""
    cutoff = NEAR if len(word) > 3 else NEAR_SHORT  # 'rum' suggests 'run'
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


@contextmanager
def theirs(what: str, remedy: str = "mend it") -> Iterator[None]:
    """Turn any exception of foreign code into a UserError: `what`, the exception with its line, and `remedy`.

    A UserError passes unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise UserError(f"{what}: {_raised(error)}; {remedy}") from error


def refused_by_us(error: Exception) -> bool:
    """Return whether code of `games` or `marl` raised an error, not the call of it with wrong arguments."""
    frames = _outside(_frames(error), Path(__file__).with_name("references.py"))
    packages = (Path(__file__).parents[1] / name for name in ("games", "marl"))
    return bool(frames) and not _outside(frames, *packages)


def _raised(error: Exception) -> str:
    """Return an error on one line, with the last file and line of the user's own code, or else of a library."""
    words = in_words(error)
    frames = _outside(_frames(error), Path(__file__).parent, Path(importlib.__file__).parent)
    frames = _outside(frames, *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))) or frames
    if not frames or isinstance(error, SyntaxError):  # a SyntaxError names its line itself
        return words
    return f"{words} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    """Return the stack frames of an error whose code has a file."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_absolute()]


def _outside(frames: list[traceback.FrameSummary], *folders: str | Path) -> list[traceback.FrameSummary]:
    """Return the frames whose files are in none of the folders."""
    return [frame for frame in frames if not any(Path(frame.filename).is_relative_to(folder) for folder in folders)]
