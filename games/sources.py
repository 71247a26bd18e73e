"""Sources of games: libraries whose games are asked for as `source:name(arguments)`.

A package adds a source by an entry point, whose name is what stands before the colon:

    [project.entry-points."marl.sources"]
    cards = "my_cards:Cards"              then: marl games check 'cards:snap(players=3)'

`Cards` is a subclass of Source, made once and without arguments. Only `make` has to be written; every other method has
a default. The module should be quick to import: it is imported to list games, so let `make` import a slow library. The
sources of this project are written in the same way (games/adapters/sources.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

from games import plugins
from games.contract import Game, VecEnv
from games.errors import UserError, theirs
from games.references import OURS, Reference


class Source(ABC):
    """A library of games behind one name.

    Names and arguments come from a user, or from a file of somebody else's (`is_own`). A method that cannot answer
    raises UserError (games/errors.py), in one sentence: what was expected, what came, what to do. That holds for an
    unknown name, a wrong argument, and a package that is not installed.
    """

    listed: ClassVar[bool] = True
    """Whether `marl games list` and spelling hints read `names()`; True for a short list that is quick to read."""

    trusted: ClassVar[bool] = False
    """Whether its games are known to keep the contract, so that no guard watches them (games/guard.py)."""

    positions: ClassVar[bool] = False
    """Whether `load` gives games with positions, so that tree search can play them."""

    @abstractmethod
    def make(self, name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> VecEnv:
        """Build `num_envs` environments of the game `name` as one VecEnv (games/contract.py).

        `arguments` stand in the brackets of the reference: numbers, words, truth values, lists, dicts. `wrappers` are
        those which `wraps` accepts; the source puts them around each environment, from left to right, and their names
        into `spec.name`. `spec.name` is the whole reference: the same text builds the same game again, in this process
        and in others.
        """

    def names(self) -> Sequence[str]:
        """Return the names of its games, as `make` takes them; empty if it keeps no list."""
        return ()

    def examples(self) -> Sequence[str]:
        """Return `name(arguments)` of games that need arguments, for `marl games table` to check beside `names()`."""
        return ()

    def load(self, name: str, arguments: dict[str, Any]) -> Game | None:
        """Return the game with positions to clone (games/contract.py), or None where it has none."""
        return None

    def is_own(self, name: str) -> bool:
        """Return whether building `name` imports only this source's own code, and reads no file that `name` gives.

        A stranger's checkpoint may name any game. Only games that are a source's own are built without the user having
        typed their names (docs/explanation/security.md).
        """
        return False

    def wraps(self, wrapper: Reference) -> bool:
        """Return whether a wrapper, by its name, is one that this source puts around its single environments."""
        return False

    def adapts(self, made: Any) -> bool:
        """Return whether `made` is an environment of this source's API, which `vectorize` turns into a VecEnv.

        Called with what a user's class or function builds, if that inherits from a class of the package with the
        source's name: `my_games:Rendezvous`, a ParallelEnv of pettingzoo's, is offered to the source `pettingzoo`.
        """
        return False

    def vectorize(
        self, reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
    ) -> VecEnv:
        """Return `num_envs` environments of a user's own class as one VecEnv; only where `adapts(made)`.

        `build()` makes another one; `made` is the first. `reference` and `wrappers` are as in `make`.
        """
        raise NotImplementedError


def source(name: str) -> Source:
    """Return a source by its name.

    Raises KeyError for a name that nobody registered; UserError where two packages register it, where it cannot be
    imported, and where it is not a Source.
    """
    return _made(plugins.entry_point(plugins.SOURCES, name))


def every() -> Iterator[tuple[str, Source]]:
    """Yield every source that can be imported, by its name."""
    for name in plugins.names(plugins.SOURCES):
        with suppress(UserError):  # asking for it by name raises it
            yield name, source(name)


def listed() -> Iterator[str]:
    """Yield `source:name` of every game of the sources that are listed."""
    for name, found in every():
        with suppress(UserError):  # its library is not installed
            yield from (f"{name}:{game}" for game in (found.names() if found.listed else ()))


def adapting(made: Any) -> Source | None:
    """Return the source that turns an environment of somebody's own class into a VecEnv; None where there is none."""
    packages = {kind.__module__.partition(".")[0] for kind in type(made).__mro__}
    asked = (source(name) for name in plugins.names(plugins.SOURCES) if name in packages)
    return next((found for found in asked if found.adapts(made)), None)


@cache
def _made(point: EntryPoint) -> Source:
    kind = plugins.load(plugins.SOURCES, point.name)
    if not (isinstance(kind, type) and issubclass(kind, Source)):
        raise UserError(f"expected a subclass of games.sources.Source at '{point.value}', got {kind!r}; mend it")
    with theirs(f"the source '{point.name}' ('{point.value}') could not be made"):
        made = kind()
    return made if kind.__module__.partition(".")[0] in OURS else _PluggedIn(point.name, made)


class _PluggedIn(Source):
    """A source of another package: what its methods raise becomes a UserError that names the source."""

    def __init__(self, name: str, source: Source) -> None:
        self._name, self._source = name, source

    @property
    def listed(self) -> bool:  # type: ignore[override]
        return self._source.listed

    @property
    def trusted(self) -> bool:  # type: ignore[override]
        return self._source.trusted

    @property
    def positions(self) -> bool:  # type: ignore[override]
        return self._source.positions

    def make(self, name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> VecEnv:
        return self._ask("make", name, arguments, num_envs, wrappers)  # type: ignore[no-any-return]

    def names(self) -> Sequence[str]:
        return self._ask("names", read=list)  # type: ignore[no-any-return]

    def examples(self) -> Sequence[str]:
        return self._ask("examples", read=list)  # type: ignore[no-any-return]

    def load(self, name: str, arguments: dict[str, Any]) -> Game | None:
        return self._ask("load", name, arguments)  # type: ignore[no-any-return]

    def is_own(self, name: str) -> bool:
        return bool(self._ask("is_own", name))

    def wraps(self, wrapper: Reference) -> bool:
        return bool(self._ask("wraps", wrapper))

    def adapts(self, made: Any) -> bool:
        return bool(self._ask("adapts", made))

    def vectorize(
        self, reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
    ) -> VecEnv:
        return self._ask("vectorize", reference, made, build, num_envs, wrappers)  # type: ignore[no-any-return]

    def _ask(self, method: str, *arguments: Any, read: Callable[[Any], Any] = lambda answer: answer) -> Any:
        with theirs(f"the source '{self._name}' failed in {method}()"):
            return read(getattr(self._source, method)(*arguments))  # a generator raises while it is read
