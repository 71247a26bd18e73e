"""The sources of this project. Each calls a module of games/adapters, which imports the library.

That module is imported when the first game is asked for: some libraries take seconds, and some are not installed.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from games.contract import Game, VecEnv
from games.errors import UserError
from games.references import Reference
from games.sources import Source
from games.wrappers import ON_SPACES


class Adapter(Source):
    """A source whose games a module of games/adapters builds."""

    module: ClassVar[str]  # in games.adapters; also the name of the source
    install: ClassVar[str] = "marl"  # what pip installs the library with

    @property
    def adapter(self) -> Any:
        """The module; raises UserError where a package that it imports is not installed."""
        try:
            return importlib.import_module(f"games.adapters.{self.module}")
        except ModuleNotFoundError as error:
            missing = f"'{self.module}' needs the package '{error.name}', which is not installed"
            raise UserError(f"{missing}; pip install '{self.install}'") from error

    def make(self, name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> VecEnv:
        more = {"wrappers": wrappers} if wrappers else {}
        return self.adapter.make(name, arguments, num_envs, **more)  # type: ignore[no-any-return]

    def names(self) -> Sequence[str]:
        return self.adapter.names()  # type: ignore[no-any-return]

    def examples(self) -> Sequence[str]:
        return getattr(self.adapter, "EXAMPLES", ())

    def is_own(self, name: str) -> bool:
        return True  # these adapters import nothing by a game's name


class OpenSpiel(Adapter):
    module = "openspiel"
    trusted = True
    positions = True

    def load(self, name: str, arguments: dict[str, Any]) -> Game:
        return self.adapter.load(name, arguments)  # type: ignore[no-any-return]


class Vmas(Adapter):
    module = "vmas"
    install = "marl[vmas]"
    listed = False
    trusted = True


class JaxMarl(Adapter):
    module = "jaxmarl"
    install = "marl[jaxmarl]"
    listed = False
    trusted = True


class _ApiAdapter(Adapter):
    """A library whose API many packages follow; it builds their environments by name, and those of users' classes."""

    listed = False

    def is_own(self, name: str) -> bool:
        return self.adapter.is_own(name)  # type: ignore[no-any-return]

    def vectorize(
        self, reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
    ) -> VecEnv:
        return self.adapter.vectorize(reference, made, build, num_envs, wrappers)  # type: ignore[no-any-return]


class PettingZoo(_ApiAdapter):
    module = "pettingzoo"

    def wraps(self, wrapper: Reference) -> bool:
        """Return whether a wrapper changes spaces, or is SuperSuit's, whose names end in _v0, _v1, ..."""
        return not wrapper.source and (wrapper.name in ON_SPACES or re.search(r"_v\d+$", wrapper.name) is not None)

    def adapts(self, made: Any) -> bool:
        import pettingzoo

        return isinstance(made, pettingzoo.ParallelEnv | pettingzoo.AECEnv)


class Gymnasium(_ApiAdapter):
    module = "gymnasium"

    def wraps(self, wrapper: Reference) -> bool:
        return not wrapper.source and wrapper.name in ON_SPACES

    def adapts(self, made: Any) -> bool:
        import gymnasium

        return isinstance(made, gymnasium.Env)
