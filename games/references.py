"""One reference syntax for everything that has a name: games, wrappers, agents and algorithms.

    spread(players=3)                         an entry point's plain name
    openspiel:connect_four(rows=6)            a game of a known source
    pettingzoo:mpe2.simple_spread_v3(N=3)     a game of a known source
    my_package.games:Nim(stones=21)           a class of an installed package
    spread | team_reward | messy(phi=0.1)     a game and its wrappers (games/wrappers.py)
    runs/x/checkpoints/000500000              a path (agents)
    'runs/lr=1e-3'(greedy=True)               a name in quotes, whatever letters it has

Values are Python literals; a bare word is a string: `mode=B`, `game=goofspiel(num_cards=4)`.
"""

import ast
import importlib
import inspect
import re
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from games.errors import UserError, in_words, nearest, written

_PLAIN = {int, float, bool, str, NoneType}  # what an argument may be declared as and is checked for
_ARTICLE = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
LONGEST = 10_000  # characters of a reference
MOST_WRAPPERS = 100  # around one game; each is a call within another
MOST_PARTS = 100  # into which commas may part one

_NAME = r"[^\s():=,'\"]([^():=,]*[^\s():=,])?"
_QUOTED = r"'([^'\\]|\\.)*'|\"([^\"\\]|\\.)*\""
_REFERENCE = re.compile(
    rf"((?:(?P<source>[\w.]+):)?(?P<name>{_NAME})|(?P<quoted>{_QUOTED}))(?:\((?P<arguments>.*)\))?", re.DOTALL
)


@dataclass(frozen=True)
class Reference:
    """A parsed reference: `source:name(arguments)`; `source` is empty for a plain name."""

    source: str
    name: str
    arguments: tuple[tuple[str, Any], ...]

    @property
    def brackets(self) -> str:
        """The arguments as they are written behind the name; empty without any."""
        written = ", ".join(f"{key}={value!r}" for key, value in self.arguments)
        return f"({written})" if written else ""

    def __str__(self) -> str:
        name = self.name if re.fullmatch(_NAME, self.name) else repr(self.name)
        return (f"{self.source}:" if self.source else "") + name + self.brackets


def parse(text: str) -> Reference:
    """Read a reference; raises UserError where the text is not one."""
    match = _REFERENCE.fullmatch(text.strip()) if len(text) <= LONGEST else None
    name = match and (_value(match["quoted"]) if match["quoted"] else match["name"])
    if match is None or not name:
        raise UserError(f"expected a reference such as 'openspiel:connect_four(rows=6)', got {written(text)}")
    return Reference(match["source"] or "", name, tuple(_arguments(text, match["arguments"] or "")))


def _arguments(text: str, arguments: str) -> Iterator[tuple[str, Any]]:
    seen = set()
    for part in _split(arguments, ","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise UserError(f"expected arguments as key=value, got {written(part.strip())} in {written(text)}")
        if key in seen:
            raise UserError(f"expected each argument once, got '{key}' twice in {written(text)}")
        seen.add(key)
        yield key, _value(value)


class _Nesting:
    """Follow brackets and quotes, letter by letter; `open` while one is not closed.

    A quote opens within brackets, and where a value or a name begins: no apostrophe does.
    """

    def __init__(self) -> None:
        self._depth, self._quote, self._escaped, self._before = 0, "", False, ""

    @property
    def open(self) -> bool:
        return bool(self._depth or self._quote)

    def read(self, letter: str) -> None:
        if self._quote:
            self._quote = "" if letter == self._quote and not self._escaped else self._quote
            self._escaped = letter == "\\" and not self._escaped
        elif letter in "'\"" and (self._depth or self._before in ("", "=", ",", "|")):
            self._quote = letter
        elif letter in "([{":
            self._depth += 1
        elif letter in ")]}":
            self._depth -= 1
        self._before = self._before if letter.isspace() else letter


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that stand outside brackets and quotes."""
    nesting, start, parts = _Nesting(), 0, []
    for index, letter in enumerate(text):
        if letter == separator and not nesting.open:
            parts.append(text[start:index])
            start = index + 1
        nesting.read(letter)
    return [*parts, text[start:]] if text[start:].strip() else parts


def _value(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):  # a set of lists is a TypeError
        return {"true": True, "false": False}.get(text, text)
    except (RecursionError, MemoryError) as error:
        raise UserError(f"expected a value that is nested less deeply, got {written(text)}") from error


def layers(text: str) -> tuple[Reference, list[Reference]]:
    """Read a game and the wrappers written behind it; raises UserError where one is no reference."""
    game, *wrappers = [parse(part) for part in _split(text, "|") or [text]]
    if len(wrappers) > MOST_WRAPPERS:
        raise UserError(f"expected at most {MOST_WRAPPERS} wrappers, got {len(wrappers)} in {written(text)}")
    return game, wrappers


def wrapped(game: str, wrappers: Sequence[str]) -> str:
    """Return the reference of a game with more wrappers behind it."""
    return " | ".join([game, *wrappers])


def rejoin(parts: Sequence[str]) -> list[str]:
    """Put references together that were parted at the commas within their brackets."""
    whole, start = [], 0
    while start < len(parts):
        end = _closed(parts, start)
        whole.append(", ".join(parts[start:end]))
        start = end
    return whole


def _closed(parts: Sequence[str], start: int) -> int:
    """Return behind which part all is closed that one opens; behind itself where that is nowhere."""
    nesting = _Nesting()
    for end in range(start, min(start + MOST_PARTS, len(parts))):
        for letter in f"{parts[end]},":
            nesting.read(letter)
        if not nesting.open:
            return end + 1
    return start + 1


def resolve(
    reference: Reference,
    group: str,
    what: str,
    sources: tuple[str, ...] = (),
    hint: Callable[[str, Iterable[str]], str] = nearest,
) -> Any:
    """Find what a reference names: an entry point of `group`, or an attribute of an installed module.

    `hint(name, known)` says in the refusal of an unknown name which known one may be meant.
    """
    if reference.source:
        return attribute(reference, sources)
    found = {point.name: point for point in entry_points(group=group)}
    if reference.name not in found:
        meant = hint(reference.name, found) or f"; installed: {', '.join(sorted(found)) or 'none'}"
        raise UserError(f"expected a known {what}, got '{reference.name}'{meant}")
    with theirs(f"'{reference.name}' could not be imported"):
        return found[reference.name].load()


def attribute(reference: Reference, sources: tuple[str, ...] = ()) -> Any:
    """Return what `module:name` names; raises UserError where there is no such module, or no such name in it."""
    with theirs(f"'{reference}' could not be imported"):
        module = _import(reference, sources)
    if not hasattr(module, reference.name):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"the module '{reference.source}' has no '{reference.name}'{nearest(reference.name, public)}")
    return getattr(module, reference.name)


def _import(reference: Reference, sources: tuple[str, ...]) -> Any:
    try:
        return importlib.import_module(reference.source)
    except ModuleNotFoundError as error:
        if error.name and not (reference.source + ".").startswith(error.name + "."):
            raise UserError(f"'{reference.source}' needs the package '{error.name}', which is not installed") from error
        known = f"{', '.join(sources)} or " if sources else ""
        hint = nearest(reference.source, sources)
        raise UserError(
            f"expected {known}an importable module, got '{reference.source}' in '{reference}'{hint}"
        ) from error


def call(target: Callable[..., Any], reference: Reference, **more: Any) -> Any:
    """Call what a reference names with its arguments; raises UserError where they do not fit, or whatever it raises."""
    build, what = bound(target, reference, **more), f"'{reference}' could not be built"
    with theirs(what, "mend it or its arguments"):
        try:
            return build()
        except (TypeError, ValueError) as error:
            if not _refused(error):
                raise
            raise UserError(f"{what}: {' '.join(str(error).split())}") from error


def bound(target: Callable[..., Any], reference: Reference, **more: Any) -> Callable[[], Any]:
    """Return what a reference names with its arguments; raises UserError where they do not fit the signature."""
    arguments = dict(reference.arguments) | more
    parameters = parameters_of(target)
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                known = [name for name in parameters if name not in more]
                takes = ", ".join(known) or "no arguments"
                raise UserError(f"'{reference.name}' takes {takes}, got '{key}'{nearest(key, known)}")
    required = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and key not in arguments
    ]
    if required:
        raise UserError(
            f"'{reference.name}' needs the argument '{required[0]}', got none: {reference.name}({required[0]}=...)"
        )
    check_types(reference.name, parameters, dict(reference.arguments))
    return partial(target, **arguments)


@contextmanager
def theirs(what: str, remedy: str = "mend it") -> Iterator[None]:
    """Say in one sentence what went wrong in somebody else's code, and where; a UserError has said it already."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise UserError(f"{what}: {_raised(error)}; {remedy}") from error


def _refused(error: Exception) -> bool:
    """Say whether an error is a refusal of this project's own: raised within its packages, not by the call itself."""
    frames = _outside(_frames(error), __file__)
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


def check_types(name: str, parameters: Mapping[str, inspect.Parameter], arguments: dict[str, Any]) -> None:
    """Raise UserError for a number, a word or a truth value where another of them is declared."""
    for key, value in arguments.items():
        annotation = parameters[key].annotation if key in parameters else Any
        kinds = set(get_args(annotation) or (annotation,))
        if not kinds <= _PLAIN or type(value) in kinds or (type(value) is int and float in kinds):
            continue
        expected = " or ".join(sorted(kind.__name__ for kind in kinds if kind is not NoneType))
        raise UserError(f"expected {key} of '{name}' to be {_ARTICLE.get(expected, expected)}, got {value!r}")


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a class or a function takes, by name; raises UserError for what has no signature."""
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError) as error:  # not callable, or written in C without a signature
        raise UserError(f"expected a class or a function with named arguments, got {target!r}") from error
