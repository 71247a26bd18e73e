"""Where the agents of a league meet: the cells of the payoff table that have games, of which most have none.

cells.json     [[one, other, pairs], ...]   how many pairs of games agents are to have, as this round decided
payoff.json    agents, and of each cell that this round decided on what both were paid, by the seats that they had
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from tournaments.populations.files import CELLS, Member, Round
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.meetings import play_cells
from tournaments.ratings.table import Reader, Table, of_first_seeds
from tournaments.records.played import StoredAgent
from tournaments.records.store import Store

Cell = tuple[str, str]  # two agents, by their digests, in order


class Cells:
    """The games between the agents of a league, which the store keeps.

    A round writes how many each cell is to have before they are played. So the games that a decision sees follow from
    the decisions before it, wherever the run was killed.
    """

    def __init__(self, config: LeagueConfig, store: Store, folder: Path) -> None:
        self._config, self._store, self._folder = config, store, folder
        self._reader = Reader(store)
        self._agents: dict[str, Member] = {}  # all that may have games, by digest
        self._decided: dict[Cell, int] = {}  # pairs of games that rounds until now have decided
        self._checked = False  # whether the store has them

    def know(self, members: Sequence[Member]) -> None:
        """Take in agents that may have games."""
        for member in members:
            self._agents.setdefault(member.digest, member)

    def recall(self, round: Round) -> bool:
        """Take over what a round has decided; return whether it had decided anything."""
        written = round.read(CELLS)
        if written:
            self._decided |= {(one, other): pairs for one, other, pairs in written["pairs"]}
            self._checked = False
        return written is not None

    def missing(self, wanted: Mapping[Cell, int]) -> dict[Cell, int]:
        """Return the cells that are to have more games than were decided."""
        return {cell: pairs for cell, pairs in wanted.items() if pairs > self._decided.get(cell, 0)}

    def play(self, round: Round, wanted: Mapping[Cell, int]) -> None:
        """Play games until cells have so many pairs, as the round then has decided."""
        missing = self.missing(wanted)
        written = round.read(CELLS) or {"pairs": []}
        pairs = {(one, other): count for one, other, count in written["pairs"]} | missing
        round.write(CELLS, {"pairs": [[*cell, count] for cell, count in sorted(pairs.items())]})
        added = {cell: range(self._decided.get(cell, 0), count) for cell, count in missing.items()}
        self._decided |= missing
        self._play(added)

    def complete(self) -> None:
        """Play again what the store has lost of the games that were decided: of each cell that lacks some, all."""
        if self._checked:
            return
        self._checked = True
        agents = sorted({agent for cell in self._decided for agent in cell})
        place = {agent: k for k, agent in enumerate(agents)}
        games = self.table(agents).games
        lacking = {
            (one, other): range(pairs)
            for (one, other), pairs in self._decided.items()
            if games[:, place[one], place[other]].min() < pairs
        }
        self._play(lacking)

    def table(self, agents: Sequence[str]) -> Table:
        """Return the payoff table of some agents, by their digests, and by the games that have been decided alone.

        So it is the same whatever later rounds, which are made again, have left in the store.
        """
        place, n = {agent: k for k, agent in enumerate(agents)}, len(agents)
        decided = np.zeros((n, n), np.int64)
        for (one, other), pairs in self._decided.items():
            if one in place and other in place:
                decided[place[one], place[other]] = decided[place[other], place[one]] = pairs
        return self._reader.table(agents, of_first_seeds(self._config.seed, decided))

    def to_json(self, round: Round) -> dict[str, Any]:
        """Return what agents were paid in the cells that a round has decided on, by their seats."""
        written = round.read(CELLS)["pairs"]
        agents = sorted({agent for one, other, _ in written for agent in (one, other)})
        place = {agent: k for k, agent in enumerate(agents)}
        table = self.table(agents)
        cells = []
        for one, other, _ in written:
            i, j = place[one], place[other]
            paid = {name: getattr(table, name) for name in ("payoff", "error")}
            both = {name: [_known(by[:, i, j]), _known(by[:, j, i])] for name, by in paid.items()}
            cells.append({"agents": [i, j], "games": table.games[:, i, j].tolist()} | both)
        return {"agents": agents, "cells": cells}

    def _play(self, cells: Mapping[Cell, range]) -> None:
        seated = {agent: self._agents[agent] for agent in sorted({agent for cell in cells for agent in cell})}
        references = {digest: member.named(self._folder) for digest, member in seated.items()}
        self._store.add_agents(StoredAgent(each, seated[each].id, lies) for each, lies in references.items())
        play_cells(self._config, self._store, references, cells)


def _known(values: Floats) -> list[float | None]:
    """Return payoffs as JSON data: null where one is not known."""
    return [None if np.isnan(value) else value for value in values.tolist()]
