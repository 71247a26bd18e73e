"""One reference syntax for everything that has a name: games, agents and algorithms.

    spread(players=3)                         an entry point's plain name
    openspiel:connect_four(rows=6)            a game of a known source
    pettingzoo:mpe2.simple_spread_v3(N=3)     a game of a known source
    my_package.games:Nim(stones=21)           a class of an installed package
    spread | team_reward | messy(phi=0.1)     a game and its wrappers (games/wrappers.py)
    runs/x/checkpoints/000500000              a path (agents)
    'runs/lr=1e-3'(greedy=True)               a name in quotes, whatever letters it has

Values are Python literals; a bare word is a string: `mode=B`, `game=goofspiel(num_cards=4)`.

What a user types may name any code: `package.module:Class` is imported and called. What stands in a file that somebody
else may have written must not: it goes through `from_file`, which lets only the names of registered things pass.
"""

import ast
import importlib
import inspect
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from itertools import takewhile
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from games.contract import Game, Spec, VecEnv
from games.errors import UserError, closest, in_words, nearest, written
from games.guard import Guard
from games.vector import vectorize
from games.wrappers import ON_SPACES, WRAPPERS

GROUP = "marl.games"
_PLAIN = {int, float, bool, str, NoneType}  # what an argument may be declared as and is checked for
_ARTICLE = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
SOURCES = ("openspiel", "pettingzoo", "gymnasium", "vmas", "jaxmarl")  # each an adapter in games/adapters/

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


def make(text: str, num_envs: int, *, guard: bool = True) -> VecEnv:
    """Build a game by reference as a VecEnv of `num_envs` environments.

    A game from elsewhere is watched by a Guard, which raises GameFailed where it breaks a promise.
    Raises UserError for an unknown name, a wrong argument, and an optional package that is not installed.
    """
    reference, wrappers = layers(text)
    preprocessing = list(takewhile(_of_single, wrappers))
    venv = _build(reference, preprocessing, num_envs)
    if guard and not _ours(venv):
        venv = Guard(venv)
    for wrapper in wrappers[len(preprocessing) :]:
        venv = _wrap(venv, wrapper)
    return venv


def from_file(text: str, remedy: str) -> str:
    """Return a game's reference that stands in a file, if making the game runs nothing but what is registered here.

    Registered are entry points, sources with their own packages, and wrappers by plain names; their arguments are
    numbers and words, not paths. Raises UserError for anything else, with what the user may do: `remedy`, but where
    Python's own modules are named, which hold no games.
    """
    game, wrappers = layers(text)
    refused = _code(game) if game.source else ""
    for wrapper in wrappers:
        refused = refused or (f"code of '{wrapper.source}'" if wrapper.source else "")
    for reference in (game, *wrappers):
        refused = refused or next((f"a file, {written(word)}" for word in _paths(dict(reference.arguments))), "")
    if any(reference.source.partition(".")[0] in sys.stdlib_module_names for reference in (game, *wrappers)):
        remedy = "no game is there; name one with --game"
    if refused:
        raise UserError(f"the game {written(text)} stands in a file and names {refused}: not run; {remedy}")
    return text


def _code(game: Reference) -> str:
    """Return what code a game names beside that of its source, or an empty string."""
    if game.source not in SOURCES:
        return f"code of '{game.source}'"
    is_own = getattr(adapter(game.source), "is_own", None)  # the others import nothing by name
    return "" if is_own is None or is_own(game.name) else f"a package that is not one of {game.source}'s own"


def _paths(value: Any) -> Iterator[str | bytes]:
    """Yield what may be a path, or the name of code, in the value of an argument."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        for entry in value:
            yield from _paths(entry)
    elif isinstance(value, bytes) or (isinstance(value, str) and re.search(r"[/\\:]|^\.|^~", value)):
        yield value


def _build(reference: Reference, preprocessing: list[Reference], num_envs: int) -> VecEnv:
    if reference.source in SOURCES:
        more = {"wrappers": preprocessing} if preprocessing else {}
        if reference.source != "pettingzoo":
            _no_supersuit(preprocessing, reference)
        if reference.source not in ("pettingzoo", "gymnasium"):
            _no_reshaping(preprocessing, reference)
        return adapter(reference.source).make(reference.name, dict(reference.arguments), num_envs, **more)  # type: ignore[no-any-return]
    target = resolve(reference, GROUP, "game", SOURCES)
    batched = "num_envs" in parameters_of(target)
    made = call(target, reference, **({"num_envs": num_envs} if batched else {}))
    if not batched and not isinstance(made, Game):
        return _vectorize(reference, made, lambda: call(target, reference), preprocessing, num_envs)
    if not isinstance(spec := getattr(made, "spec", None), Spec):
        raise UserError(f"expected `spec` of '{reference}' to be a Spec (games/contract.py), got {spec!r}")
    if not batched:
        with _theirs(f"'{reference}' could not be opened"):
            made = vectorize(made, num_envs)
    _no_supersuit(preprocessing, reference)
    _no_reshaping(preprocessing, reference)
    return made  # type: ignore[no-any-return]


def _no_supersuit(preprocessing: list[Reference], reference: Reference) -> None:
    if odd := next(filter(_supersuit, preprocessing), None):
        raise UserError(f"SuperSuit's '{odd.name}' wraps PettingZoo's environments, got '{reference}'")


def _no_reshaping(preprocessing: list[Reference], reference: Reference) -> None:
    if preprocessing:
        raise UserError(
            f"'{preprocessing[0].name}' changes the spaces of PettingZoo's and Gymnasium's environments, "
            f"got '{reference}'"
        )


def _vectorize(
    reference: Reference, made: Any, build: Callable[[], Any], preprocessing: list[Reference], num_envs: int
) -> VecEnv:
    """Adapt an environment of somebody's own class: Gymnasium's have one action space, PettingZoo's one an agent."""
    if hasattr(made, "action_space") and not callable(made.action_space):
        _no_supersuit(preprocessing, reference)
        return adapter("gymnasium").vectorize(str(reference), made, build, num_envs, preprocessing)  # type: ignore[no-any-return]
    more = {"wrappers": preprocessing} if preprocessing else {}
    return adapter("pettingzoo").vectorize(str(reference), made, build, num_envs, **more)  # type: ignore[no-any-return]


def adapter(source: str) -> Any:
    """Return the module that adapts a source's games; raises UserError where its package is not installed."""
    try:
        return importlib.import_module(f"games.adapters.{source}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"'{source}' needs the package '{error.name}', which is not installed; pip install 'marl[{source}]'"
        ) from error


def _supersuit(wrapper: Reference) -> bool:
    return not wrapper.source and re.search(r"_v\d+$", wrapper.name) is not None


def _of_single(wrapper: Reference) -> bool:
    """Say whether a wrapper is of single environments, before they are batched."""
    return _supersuit(wrapper) or (not wrapper.source and wrapper.name in ON_SPACES)


def _wrap(venv: VecEnv, reference: Reference) -> VecEnv:
    if _of_single(reference):
        whose = "SuperSuit's wrappers" if _supersuit(reference) else "wrappers of spaces"
        raise UserError(f"{whose} stand before all others, got '{reference}' behind another")
    if reference.source:
        target = attribute(reference)
    elif reference.name in WRAPPERS:
        target = WRAPPERS[reference.name]
    else:
        raise UserError(
            f"expected a wrapper ({', '.join((*WRAPPERS, *ON_SPACES))}, SuperSuit's, or package.module:Class), got "
            f"'{reference}'{nearest(reference.name, (*WRAPPERS, *ON_SPACES))}"
        )
    made = call(target, reference, venv=venv)
    made.spec = replace(made.spec, name=f"{venv.spec.name} | {reference}")
    return made  # type: ignore[no-any-return]


def _ours(venv: VecEnv) -> bool:
    """Say whether a game needs no guard: its steps are this project's own code, or a library's that it trusts."""
    game = venv.spec.name.partition(":")[0]
    return type(venv).__module__.startswith(("games.native.", "games.adapters.")) or game == "openspiel"


def load(text: str) -> Game:
    """Build a game by reference, with positions to clone; raises UserError for a pure environment, which has none."""
    reference, _ = layers(text)
    if reference.source == "openspiel":
        return adapter("openspiel").load(reference.name, dict(reference.arguments))  # type: ignore[no-any-return]
    if reference.source not in SOURCES:
        target = resolve(reference, GROUP, "game", SOURCES)
        made = None if "num_envs" in parameters_of(target) else call(target, reference)
        if isinstance(made, Game):
            return made
    raise UserError(f"expected a game with positions that can be cloned, got the environment '{text}'; use a Game")


def names() -> list[str]:
    """Return the plain names that installed packages registered."""
    return sorted(point.name for point in entry_points(group=GROUP))


def twin(text: str) -> str:
    """Return OpenSpiel's game of the same name, whose positions can be cloned; "" where it has none."""
    name = re.split(r"[.:]", re.split(r"[(| ]", text)[0])[-1]
    plain = re.sub(r"_v\d+$", "", name).replace("_", "")
    same = (known for known in adapter("openspiel").names() if known.replace("_", "") == plain)
    return next((f"openspiel:{known}" for known in same), "")


def resolve(reference: Reference, group: str, what: str, sources: tuple[str, ...] = ()) -> Any:
    """Find what a reference names: an entry point of `group`, or an attribute of an installed module."""
    if reference.source:
        return attribute(reference, sources)
    found = {point.name: point for point in entry_points(group=group)}
    if reference.name not in found:
        hint = _known_game(reference.name, found) if sources else nearest(reference.name, found)
        hint = hint or f"; installed: {', '.join(sorted(found)) or 'none'}"
        raise UserError(f"expected a known {what}, got '{reference.name}'{hint}")
    with _theirs(f"'{reference.name}' could not be imported"):
        return found[reference.name].load()


def _known_game(name: str, plain: Iterable[str]) -> str:
    """Return a hint at the nearest game that has a plain name or is OpenSpiel's, or else at the list of all."""
    known = {same: f"openspiel:{same}" for same in adapter("openspiel").names()} | {same: same for same in plain}
    match = closest(name, known)
    return f"; did you mean '{known[match]}'?" if match else "; `marl games list` names them"


def attribute(reference: Reference, sources: tuple[str, ...] = ()) -> Any:
    """Return what `module:name` names; raises UserError where there is no such module, or no such name in it."""
    with _theirs(f"'{reference}' could not be imported"):
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
    with _theirs(what, "mend it or its arguments"):
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
def _theirs(what: str, remedy: str = "mend it") -> Iterator[None]:
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
