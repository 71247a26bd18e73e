"""What the handlers of games share: the tables, the sessions of people, and the agents' worker."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from games.errors import UserError
from marl.agents.load import Identity
from tournaments.web.asking import Asker
from tournaments.web.deciding import Answer, Question
from tournaments.web.offers import Offer, Run, offered
from tournaments.web.places import Places
from tournaments.web.sessions import Sessions
from tournaments.web.table import Tables

Result = TypeVar("Result")


class Desk:
    """Tables are set in one thread, which keeps them apart; agents are asked in one worker process."""

    def __init__(self, places: Places) -> None:
        self.places, self.sessions, self.tables, self.asker = places, Sessions(), Tables(), Asker()
        self._thread = ThreadPoolExecutor(1, "tables")

    async def do(self, act: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function that sets tables, or reads and writes files, beside the page's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    async def ask(self, question: Question) -> Answer:
        """Ask an agent; raises Busy where too many wait, and RunFailed where the worker ends."""
        return await asyncio.wrap_future(self.asker.ask(question))

    async def identify(self, game: str, reference: str) -> Identity:
        """Return who an agent is; raises UserError where it cannot play the game, and Busy."""
        (found,) = await asyncio.wrap_future(self.asker.identify(game, [reference]))
        if isinstance(found, str):
            raise UserError(found)
        return found

    def offers(self, game: str) -> list[Offer]:
        """Return the agents that a form may name for a game."""
        runs = [Run(place.name, place.path) for place in self.places.all() if "run" in place.kinds]
        return offered(game, self.tables.of(game).spec, runs)

    def close(self) -> None:
        """End the worker."""
        self.asker.close()
        self._thread.shutdown()
