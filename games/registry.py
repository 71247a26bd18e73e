"""Games by reference (games/references.py): `make` builds them, with the wrappers written behind them.

What a user types may name any code: `package.module:Class` is imported and called. What stands in a file that somebody
else may have written must not: it goes through `from_file`, which lets only the names of registered things pass.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import entry_points
from itertools import takewhile
from typing import Any

from games.contract import Game, Spec, VecEnv
from games.errors import UserError, closest, nearest, written
from games.guard import Guard
from games.references import Reference, attribute, call, layers, parameters_of, resolve, theirs
from games.vector import vectorize
from games.wrappers import ON_SPACES, WRAPPERS

GROUP = "marl.games"
SOURCES = ("openspiel", "pettingzoo", "gymnasium", "vmas", "jaxmarl")  # each an adapter in games/adapters/


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
    target = resolve(reference, GROUP, "game", SOURCES, _known_game)
    batched = "num_envs" in parameters_of(target)
    made = call(target, reference, **({"num_envs": num_envs} if batched else {}))
    if not batched and not isinstance(made, Game):
        return _vectorize(reference, made, lambda: call(target, reference), preprocessing, num_envs)
    if not isinstance(spec := getattr(made, "spec", None), Spec):
        raise UserError(f"expected `spec` of '{reference}' to be a Spec (games/contract.py), got {spec!r}")
    if not batched:
        with theirs(f"'{reference}' could not be opened"):
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
        target = resolve(reference, GROUP, "game", SOURCES, _known_game)
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


def _known_game(name: str, plain: Iterable[str]) -> str:
    """Return a hint at the nearest game that has a plain name or is OpenSpiel's, or else at the list of all."""
    known = {same: f"openspiel:{same}" for same in adapter("openspiel").names()} | {same: same for same in plain}
    match = closest(name, known)
    return f"; did you mean '{known[match]}'?" if match else "; `marl games list` names them"
