"""One reference syntax for everything that has a name: games, wrappers, agents and algorithms.

    spread(players=3)                         an entry point's plain name
    openspiel:connect_four(rows=6)            a game of a known source
    pettingzoo:mpe2.simple_spread_v3(N=3)     a game of a known source
    my_package.games:Nim(stones=21)           a class of an installed package
    spread | team_reward | messy(phi=0.1)     a game and its wrappers (games/wrappers.py)
    runs/x/checkpoints/000500000              a path (agents)
    'runs/lr=1e-3'(greedy=true)               a name in quotes, which may have any characters

Values are Python literals; a bare word is a string: `mode=B`, `game=goofspiel(num_cards=4)`.
"""

import ast
import importlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from games import plugins, working_folder
from games.errors import UserError, nearest, refused_by_us, theirs, written

_PLAIN = {int, float, bool, str, NoneType}  # an argument that is declared as one of these is checked
_ARTICLE = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
OURS = ("games", "marl", "tournaments")  # the top-level packages of this project
LONGEST = 10_000  # characters of a reference
MOST_WRAPPERS = 100  # around one game; their calls nest
MOST_PARTS = 100  # into which commas may split one reference

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
        """The arguments as they are written after the name; empty without any."""
        return self._within_brackets(repr)

    @property
    def shown_brackets(self) -> str:
        """The arguments as an agent is shown with them: truth values as in a config, `greedy=true`."""
        return self._within_brackets(_shown_value)

    @property
    def shown(self) -> str:
        """The reference as an agent is shown. `parse` reads it as it reads `str`, by which files name games."""
        return self._named + self.shown_brackets

    def __str__(self) -> str:
        return self._named + self.brackets

    @property
    def _named(self) -> str:
        name = self.name if re.fullmatch(_NAME, self.name) else repr(self.name)
        return (f"{self.source}:" if self.source else "") + name

    def _within_brackets(self, write: Callable[[Any], str]) -> str:
        written = ", ".join(f"{key}={write(value)}" for key, value in self.arguments)
        return f"({written})" if written else ""


def parse(text: str) -> Reference:
    """Read a reference; raises UserError where the text is not one."""
    match = _REFERENCE.fullmatch(text.strip()) if len(text) <= LONGEST else None
    name = match and (_value(match["quoted"]) if match["quoted"] else match["name"])
    if match is None or not name:
        raise UserError(f"expected a reference such as 'openspiel:connect_four(rows=6)', got {written(text)}")
    return Reference(match["source"] or "", name, tuple(_arguments(text, match["arguments"] or "")))


def _arguments(text: str, arguments: str) -> Iterator[tuple[str, Any]]:
    seen = set()
    for part in split(arguments, ","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise UserError(f"expected arguments as key=value, got {written(part.strip())} in {written(text)}")
        if key in seen:
            raise UserError(f"expected each argument once, got '{key}' twice in {written(text)}")
        seen.add(key)
        yield key, _value(value)


def _shown_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


class _Nesting:
    """Track brackets and quotes, character by character; `open` while one is not closed.

    A quote opens within brackets, and where a value or a name begins; elsewhere it is an apostrophe.
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


def split(text: str, separator: str) -> list[str]:
    """Split a text at the separators that stand outside brackets and quotes."""
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
            warnings.simplefilter("ignore")  # about invalid escape sequences
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):  # a set of lists is a TypeError
        return {"true": True, "false": False}.get(text, text)
    except (RecursionError, MemoryError) as error:
        raise UserError(f"expected a value that is nested less deeply, got {written(text)}") from error


def layers(text: str) -> tuple[Reference, list[Reference]]:
    """Read a game and the wrappers written after it; raises UserError where one is no reference."""
    game, *wrappers = [parse(part) for part in split(text, "|") or [text]]
    if len(wrappers) > MOST_WRAPPERS:
        raise UserError(f"expected at most {MOST_WRAPPERS} wrappers, got {len(wrappers)} in {written(text)}")
    return game, wrappers


def wrapped(game: str, wrappers: Sequence[str]) -> str:
    """Return the reference of a game with more wrappers after it."""
    return " | ".join([game, *wrappers])


def rejoin(parts: Sequence[str]) -> list[str]:
    """Join references that were split at the commas within their brackets."""
    whole, start = [], 0
    while start < len(parts):
        end = _closed(parts, start)
        whole.append(", ".join(parts[start:end]))
        start = end
    return whole


def _closed(parts: Sequence[str], start: int) -> int:
    """Return the index after the part that closes what `parts[start]` opens; `start + 1` if none does."""
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
    sources: Sequence[str] = (),
    hint: Callable[[str, Iterable[str]], str] = nearest,
) -> Any:
    """Find what a reference names: a name that is registered in `group`, or an attribute of a module.

    `hint(name, known)` is the suggestion in the error for an unknown name. Raises UserError where nothing has the name,
    where two packages register it, and where it cannot be imported.
    """
    if reference.source:
        return attribute(reference, sources)
    try:
        return plugins.load(group, reference.name)
    except KeyError:
        known = plugins.names(group)
        meant = hint(reference.name, known) or f"; installed: {', '.join(known) or 'none'}"
        raise UserError(f"expected a known {what}, got '{reference.name}'{meant}") from None


def attribute(reference: Reference, sources: Sequence[str] = ()) -> Any:
    """Return what `module:name` names; the module is installed, or lies in the working folder.

    Raises UserError where there is no such module, or no such name in it, and where it cannot be imported.
    """
    with theirs(f"'{reference}' could not be imported"):
        module = _import(reference, sources)
    if not hasattr(module, reference.name):
        public = [name for name in vars(module) if not name.startswith("_")]
        hint = _taken(reference.source) or nearest(reference.name, public)
        raise UserError(f"the module '{reference.source}' has no '{reference.name}'{hint}")
    return getattr(module, reference.name)


def _import(reference: Reference, sources: Sequence[str]) -> Any:
    working_folder.allow(reference.source)
    try:
        return importlib.import_module(reference.source)
    except ModuleNotFoundError as error:
        if error.name and not (reference.source + ".").startswith(error.name + "."):
            raise UserError(f"'{reference.source}' needs the package '{error.name}', which is not installed") from error
        known = f"{', '.join(sources)} or " if sources else ""
        beside = [path.stem for path in Path().glob("*.py")]
        hint = _taken(reference.source) or nearest(reference.source, [*sources, *beside])
        hint = hint or "; modules are found among installed packages and in the working folder"
        raise UserError(
            f"expected {known}an importable module, got '{reference.source}' in '{reference}'{hint}"
        ) from error


def _taken(module: str) -> str:
    """Return a hint that names the user's file with the name of one of this project's packages; empty without one."""
    name, home = module.partition(".")[0], Path(__file__).parents[1]
    mine = [path for path in (Path(f"{name}.py"), Path(name)) if path.exists() and path.resolve().parent != home]
    if name not in OURS or not mine:
        return ""
    return f"; '{name}' is a package of marl's: rename '{mine[0]}', to my_{mine[0]} for example"


def call(target: Callable[..., Any], reference: Reference, **more: Any) -> Any:
    """Call what a reference names with its arguments; raises UserError where they do not fit, or the call raises."""
    build, what = bound(target, reference, **more), f"'{reference}' could not be built"
    with theirs(what, "mend it or its arguments"):
        try:
            return build()
        except (TypeError, ValueError) as error:
            if not refused_by_us(error):
                raise
            raise UserError(f"{what}: {' '.join(str(error).split())}") from error


def bound(target: Callable[..., Any], reference: Reference, **more: Any) -> Callable[[], Any]:
    """Bind a reference's arguments to what it names; raises UserError where they do not fit the signature."""
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


def check_types(name: str, parameters: Mapping[str, inspect.Parameter], arguments: dict[str, Any]) -> None:
    """Raise UserError for an argument whose type is not the declared one, where that is int, float, bool or str."""
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
