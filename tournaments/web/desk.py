"""What the handlers of games share: the tables, the sessions of people, and the agents' worker."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from games.errors import UserError
from marl.agents.entrants import Identity
from marl.agents.load import game_of
from tournaments.records.facts import Facts
from tournaments.web.asking import Asker
from tournaments.web.deciding import Answer, Question
from tournaments.web.offers import Offer, Run, offered, registered
from tournaments.web.places import Place, Places
from tournaments.web.sessions import Sessions
from tournaments.web.stores import opened
from tournaments.web.table import Tables

Result = TypeVar("Result")


class Desk:
    """Tables are set in one thread, which keeps them apart; agents are asked in one worker process."""

    def __init__(self, places: Places) -> None:
        self.places, self.sessions, self.tables, self.asker = places, Sessions(), Tables(), Asker()
        self.filming = asyncio.Lock()  # one picture or animation at a time: each takes a processor
        self._thread = ThreadPoolExecutor(1, "tables")
        self._games: dict[Path, str] = {}  # of places, which never change

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

    def games(self) -> list[str]:
        """Return the games of the runs and the tournaments in the folder that are registered here."""
        places = self.places.all()
        for place in places:
            if place.path not in self._games:
                with suppress(UserError):
                    self._games[place.path] = _game_of(place)
        found = dict.fromkeys(self._games.get(place.path, "") for place in places)
        return [game for game in found if game and registered(game)]

    def offers(self, game: str, among: Collection[str] | None = None) -> list[Offer]:
        """Return the agents that a form may name for a game; of all, or `among` some references."""
        runs = [Run(place.name, place.path) for place in self.places.all() if "run" in place.kinds]
        return offered(self.tables.of(game).spec, runs, among)

    def close(self) -> None:
        """End the worker."""
        self.asker.close()
        self._thread.shutdown()


def _game_of(place: Place) -> str:
    """Return the game of a place; "" where it has none. Raises UserError where it cannot be read."""
    if "tournament" in place.kinds:
        with opened(place.path) as store:
            return Facts.of(store).game
    return game_of(str(place.path)) if "run" in place.kinds else ""
