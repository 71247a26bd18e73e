"""The errors that a user sees, as one sentence each.

Exception
└── UserError          what was expected, what came, what to do; exit code 2, nothing was written
    └── RunFailed      a run that broke on its way; exit code 1, what it had saved is kept
        ├── GameFailed     ... because a game broke a promise: which, where, and from which seed
        └── WorkerDied     ... because a worker process is gone, and its answer with it
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
LONGEST_NAME = 100  # beyond which no known word is near
NEAR, NEAR_SHORT = 0.75, 0.66  # the share of letters in common from which on a spelling is near: not 'mappo' for 'ippo'


class UserError(Exception):
    """Report bad input: expected, got, remedy, in one sentence that can be shown as it is (games/text.py)."""

    exit_code = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(sentence(text))


class RunFailed(UserError):
    """Report work that failed on its way; what was saved is kept."""

    exit_code = 1


class GameFailed(RunFailed):
    """Report a game that raised or broke a promise: which, in which environment, at which step, from which seed."""

    def __init__(self, game: str, environment: int, step: int, seed: int, what: str) -> None:
        self.game, self.environment, self.step, self.seed, self.what = game, environment, step, seed, what
        super().__init__(
            f"'{game}' {what}: environment {environment}, step {step} of the episode with seed {seed}; "
            f"`marl games check` plays it apart from learning"
        )

    def __reduce__(self) -> tuple[type, tuple[str, int, int, int, str]]:
        return type(self), (self.game, self.environment, self.step, self.seed, self.what)


class WorkerDied(RunFailed):
    """Report a worker process that is gone, and its answer with it."""


def written(value: object) -> str:
    """Return a value as a message shows it: as Python writes it, the middle of a long one cut."""
    return cut(repr(value), LONGEST_VALUE)


def in_words(error: BaseException) -> str:
    """Return an error's kind and message on one line, such as `ValueError: no`; some have no message.

    The message is somebody's code, too, and may raise.
    """
    try:
        message = " ".join(str(error).split())
    except BaseException:
        message = ""
    return ": ".join(filter(None, (type(error).__name__, message)))


def unforeseen(error: Exception) -> str:
    """Return what to say of an error that no part of this project raised in words of its own."""
    refused = isinstance(error, RuntimeError) and "allocate memory" in str(error)  # torch's word for it
    if isinstance(error, MemoryError) or refused:
        return "there is not enough memory for what was asked; ask for less at once"
    if isinstance(error, OSError) and error.strerror:  # a full disk under the output, a drive that is gone
        where = f" ('{error.filename}')" if error.filename else ""
        return f"a file or the output could not be read or written: {error.strerror}{where}"
    return f"unexpected {in_words(error)}"


@contextmanager
def numbered_from(start: int) -> Iterator[None]:
    """Add `start` to the environment that a GameFailed raised within names: these are a part of a larger batch."""
    try:
        yield
    except GameFailed as error:
        raise GameFailed(error.game, start + error.environment, error.step, error.seed, error.what) from error


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for a known word that is spelt nearly so, or an empty string."""
    match = closest(word, known)
    return f"; did you mean '{match}'?" if match else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is spelt most nearly so, or an empty string."""
    if len(word) > LONGEST_NAME:
        return ""
    cutoff = NEAR if len(word) > 3 else NEAR_SHORT  # 'rum' and 'run'
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


@contextmanager
def theirs(what: str, remedy: str = "mend it") -> Iterator[None]:
    """Say in one sentence what went wrong in somebody else's code, and where; a UserError has said it already."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise UserError(f"{what}: {_raised(error)}; {remedy}") from error


def refused_by_us(error: Exception) -> bool:
    """Say whether an error is a refusal of this project's own: raised within its packages, not by the call itself."""
    frames = _outside(_frames(error), Path(__file__).with_name("references.py"))
    packages = (Path(__file__).parents[1] / name for name in ("games", "marl"))
    return bool(frames) and not _outside(frames, *packages)


def _raised(error: Exception) -> str:
    """Return an error in one line, with where its author's own code was when it came: in no library, if it can be."""
    words = in_words(error)
    frames = _outside(_frames(error), Path(__file__).parent, Path(importlib.__file__).parent)
    frames = _outside(frames, *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))) or frames
    if not frames or isinstance(error, SyntaxError):  # which says itself where
        return words
    return f"{words} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    """Return where an error passed, but for code that has no file."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_absolute()]


def _outside(frames: list[traceback.FrameSummary], *folders: str | Path) -> list[traceback.FrameSummary]:
    return [frame for frame in frames if not any(Path(frame.filename).is_relative_to(folder) for folder in folders)]
