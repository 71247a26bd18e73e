"""Games by reference (games/references.py): `make` builds them, with the wrappers written after them.

A reference that a user types may name any code: `package.module:Class` is imported and called. A reference read from a
file, which somebody else may have written, may not: `from_file` accepts only registered names.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

from games import plugins, sources
from games.contract import Game, Spec, VecEnv
from games.errors import UserError, closest, nearest, theirs, written
from games.guard import Guard
from games.references import Reference, call, layers, parameters_of, resolve
from games.sources import Source
from games.vector import vectorize
from games.wrappers import ON_SPACES


def make(text: str, num_envs: int, *, guard: bool = True) -> VecEnv:
    """Build a game by reference as a VecEnv of `num_envs` environments.

    A Guard watches games that are not this project's, and raises GameFailed where one breaks a promise.
    Raises UserError for an unknown name, a wrong argument, and an optional package that is not installed.
    """
    reference, wrappers = layers(text)
    source = _source(reference)
    if source is None:
        venv, outer = _build(reference, wrappers, num_envs)
    else:
        inner, outer = _split_wrappers(source, wrappers)
        venv = source.make(reference.name, dict(reference.arguments), num_envs, inner)
    trusted = source.trusted if source else _is_native(_target(reference))
    if guard and not trusted:
        venv = Guard(venv)
    for wrapper in outer:
        venv = _wrap(venv, wrapper)
    return venv


def from_file(text: str, remedy: str) -> str:
    """Return a game's reference that was read from a file, if building the game runs registered code only.

    Registered are entry points, sources with their own packages, and wrappers by plain names; their arguments are
    numbers and words, not paths. Raises UserError for anything else, with `remedy` as what the user may do, except
    where a module of Python itself is named, which has no games.
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
        raise UserError(f"the game {written(text)}, read from a file, names {refused}, which is not run; {remedy}")
    return text


def _code(game: Reference) -> str:
    """Return the code that a game names besides its source's own, in words; empty if there is none."""
    source = _source(game)
    if source is None:
        return f"code of '{game.source}'"
    return "" if source.is_own(game.name) else f"a package that is not one of {game.source}'s own"


def _paths(value: Any) -> Iterator[str | bytes]:
    """Yield the parts of an argument's value that may be paths or names of code."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        for entry in value:
            yield from _paths(entry)
    elif isinstance(value, bytes) or (isinstance(value, str) and re.search(r"[/\\:]|^\.|^~", value)):
        yield value


def _source(reference: Reference) -> Source | None:
    """Return the source that is named before the colon; None if a module is, or nothing."""
    try:
        return sources.source(reference.source) if reference.source else None
    except KeyError:
        return None


def _split_wrappers(source: Source, wrappers: list[Reference]) -> tuple[list[Reference], list[Reference]]:
    """Split wrappers into those that the source puts around single environments and those around the batch."""
    inner = list(takewhile(source.wraps, wrappers))
    return inner, wrappers[len(inner) :]


def _target(reference: Reference) -> Any:
    """Return the registered object, or the class, that builds a game without a source."""
    return resolve(reference, plugins.GAMES, "game", plugins.names(plugins.SOURCES), _known_game)


def _is_native(target: Any) -> bool:
    return str(getattr(target, "__module__", "")).startswith("games.native.")


def _build(reference: Reference, wrappers: list[Reference], num_envs: int) -> tuple[VecEnv, list[Reference]]:
    """Build a game without a source; return it, and the wrappers that are still to be applied."""
    target = _target(reference)
    if "num_envs" in parameters_of(target):
        return _specified(call(target, reference, num_envs=num_envs), reference), wrappers
    made = call(target, reference)
    if isinstance(made, Game):
        game = _specified(made, reference)
        with theirs(f"'{reference}' could not be opened"):
            return vectorize(game, num_envs), wrappers
    source = sources.adapting(made)
    if source is None:
        kinds = "a Game, a VecEnv, or a PettingZoo AECEnv or ParallelEnv, or a Gymnasium Env"
        raise UserError(f"expected {kinds} from '{reference}', got {type(made).__name__}")
    inner, outer = _split_wrappers(source, wrappers)
    return source.vectorize(str(reference), made, lambda: call(target, reference), num_envs, inner), outer


def _specified(made: Any, reference: Reference) -> Any:
    """Return what was made; raises UserError where it has no Spec."""
    if not isinstance(spec := getattr(made, "spec", None), Spec):
        raise UserError(f"expected `spec` of '{reference}' to be a Spec (games/contract.py), got {spec!r}")
    return made


def _wrap(venv: VecEnv, wrapper: Reference) -> VecEnv:
    if not wrapper.source and wrapper.name not in plugins.names(plugins.WRAPPERS):
        _refuse_single(venv, wrapper)
    target = resolve(wrapper, plugins.WRAPPERS, "wrapper", hint=_known_wrapper)
    made = call(target, wrapper, venv=venv)
    made.spec = replace(made.spec, name=f"{venv.spec.name} | {wrapper}")
    return made  # type: ignore[no-any-return]


def _refuse_single(venv: VecEnv, wrapper: Reference) -> None:
    """Raise UserError for a wrapper of single environments that is written after something else."""
    takers = [name for name, source in sources.every() if source.wraps(wrapper)]
    if takers:
        raise UserError(
            f"expected '{wrapper.name}' directly after an environment of {' or '.join(takers)}, "
            f"got it after '{venv.spec.name}'"
        )


def _known_wrapper(name: str, registered: Iterable[str]) -> str:
    """Return a hint that names the nearest wrapper."""
    return nearest(name, (*registered, *ON_SPACES))


def load(text: str) -> Game:
    """Build a game by reference, with positions to clone; raises UserError for an environment without positions."""
    reference, _ = layers(text)
    source = _source(reference)
    if source is not None:
        made = source.load(reference.name, dict(reference.arguments))
    else:
        target = _target(reference)
        batch = {"num_envs": 1} if "num_envs" in parameters_of(target) else {}
        made = call(target, reference, **batch)
    if not isinstance(made, Game) or not made.spec.searchable:
        raise UserError(f"expected a game with positions that can be cloned, got the environment '{text}'; use a Game")
    return made


def names() -> list[str]:
    """Return the plain names of games that installed packages registered."""
    return plugins.names(plugins.GAMES)


def twin(text: str) -> str:
    """Return the reference of a game of the same name with positions to clone, from any source; "" without one."""
    plain = _bare(re.split(r"[.:]", re.split(r"[(| ]", text)[0])[-1])
    having = (f"{name}:{game}" for name, source in sources.every() if source.positions for game in source.names())
    return next((game for game in having if _bare(game.partition(":")[2]) == plain), "")


def _bare(name: str) -> str:
    """Return a game's name without its version and underscores."""
    return re.sub(r"_v\d+$", "", name).replace("_", "")


def _known_game(name: str, plain: Iterable[str]) -> str:
    """Return a hint that names the nearest registered or listed game, or else the command that lists all games."""
    known = {game.partition(":")[2]: game for game in sources.listed()} | {same: same for same in plain}
    match = closest(name, known)
    return f"; did you mean '{known[match]}'?" if match else "; `marl games list` names them"
