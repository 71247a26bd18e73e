"""The store of a tournament: one SQLite file that holds each played game once.

A game's primary key is the id of its fixture: writing a game again changes nothing, and the games that are missing are
the fixtures whose ids are not in the store. Each batch of games is one transaction: a killed process loses only
batches that were not complete. Payoffs are stored as the game paid them; who won is decided when games are rated.

    meta      key, value (JSON)
    agents    number, id, name, reference
    games     id, game, seed, agents (JSON: numbers by seat), payoffs (JSON by seat; null is NaN), termination, length,
              moves, rounding (a bound on the rounding error of the payoffs; null where it is not known)
    failures  game, player, how, detail, ply: which player forfeited a game, how, why, and at which of its steps
    notes     game, ply, kind, value (JSON): remarks on a game's steps (`Note`)

An agent's id is its digest; ids `person:NAME` are reserved for people. SQLite's integers are signed, so a 64-bit seed
is stored as the signed integer with the same bits.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from games.contract import Teams
from marl.base.intervals import MIN_SEEDS
from tournaments.records.columns import Columns, numbers_of, results_of
from tournaments.records.file import StoreFile
from tournaments.records.fixture import Fixture, Tables, by_team
from tournaments.records.played import NO_RESULT, AgentFailures, Failure, Game, Note, PlayedGame, StoredAgent
from tournaments.records.results import Results

STORE = "games.sqlite"
FIRST_ROW = -(1 << 63)
CHECKED = 50_000  # games that are read at a time where none are kept


@dataclass(frozen=True)
class Selection:
    """Some games of a store: those that meet each condition that is given. Agents are given by their ids.

    `id` is how the game's id begins, `seated` are agents that hold a seat each, `among` the only ones that hold seats.
    Of these games, `sample` are drawn: the first by id, which is a hash.
    """

    id: str = ""
    seed: int | None = None
    seated: tuple[str, ...] = ()
    among: Collection[str] | None = None
    sample: int | None = None

    def seats(self, seats: Sequence[str]) -> bool:
        """Return whether games with these agents in their seats may be among them."""
        return Counter(self.seated) <= Counter(seats) and (self.among is None or set(seats) <= set(self.among))


def stored(path: Path) -> "Store":
    """Open a tournament's store to read it: by its own path, or its folder's. Raises UserError where there is none."""
    return Store(path / STORE if path.is_dir() else path)


class Store(StoreFile):
    """The games of a tournament, in its file."""

    def add(self, games: Iterable[PlayedGame]) -> None:
        """Write a batch of games in one transaction; a stored game is replaced only if it ended in a timeout."""
        games = list(games)
        with self._writing():
            number = self._numbers({agent for game in games for agent in game.fixture.agents})
            self._db.executemany(
                "DELETE FROM games WHERE id = ? AND termination = 'timeout'", [(game.fixture.id,) for game in games]
            )
            for game in games:
                row = (
                    game.fixture.id,
                    game.fixture.game,
                    _signed(game.fixture.seed),
                    json.dumps([number[agent] for agent in game.fixture.agents]),
                    json.dumps([None if math.isnan(x) else float(x) for x in game.payoffs], allow_nan=False),
                    game.termination,
                    int(game.length),
                    game.moves,
                    game.rounding,
                )
                new = self._db.execute("INSERT OR IGNORE INTO games VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount
                if new and game.failures:
                    failed = [(row[0], f.player, f.how, f.detail, f.ply) for f in game.failures]
                    self._db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", failed)
                if new and game.notes:
                    noted = [(row[0], note.ply, note.kind, json.dumps(note.value)) for note in game.notes]
                    self._db.executemany("INSERT INTO notes VALUES (?, ?, ?, ?)", noted)

    def notes(self, game: str) -> list[Note]:
        """Return the notes on a game, given by its id, in the order of its steps."""
        rows = self._rows("SELECT ply, kind, value FROM notes WHERE game = ? ORDER BY ply, kind", game)
        with self._reading():
            return [Note(int(ply), str(kind), json.loads(value)) for ply, kind, value in rows]

    def _numbers(self, ids: set[str]) -> dict[str, int]:
        """Return the numbers of agents by id; an unknown id is added, with the id as its name."""
        self._db.executemany(
            "INSERT OR IGNORE INTO agents (id, name, reference) VALUES (?, ?, '')", [(id, id) for id in sorted(ids)]
        )
        query = "SELECT id, number FROM agents WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._db.execute(query, (json.dumps(sorted(ids)),)))

    def add_agent(self, id: str, name: str, reference: str) -> None:
        """Add an agent; an id that is stored already gets the new name and reference."""
        self.add_agents([StoredAgent(id, name, reference)])

    def add_agents(self, agents: Iterable[StoredAgent]) -> None:
        """Add agents in one transaction, each as `add_agent` does."""
        with self._writing():
            self._db.executemany(
                "INSERT INTO agents (id, name, reference) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, reference = excluded.reference",
                [(agent.id, agent.name, agent.reference) for agent in agents],
            )

    def agents(self) -> list[StoredAgent]:
        """Return the stored agents, ordered by name."""
        rows = self._rows("SELECT id, name, reference FROM agents ORDER BY name, id")
        return [StoredAgent(str(id), str(name), str(reference)) for id, name, reference in rows]

    def labels(self) -> dict[str, str]:
        """Return the label of each agent by id: its name, with the first digits of its id if several share the name."""
        agents = self.agents()
        names = Counter(agent.name for agent in agents)
        short = {a.id: a.name if names[a.name] == 1 else f"{a.name} [{a.id[:8]}]" for a in agents}
        taken = Counter(short.values())
        return {i: label if taken[label] == 1 else f"{label} [{i}]" for i, label in short.items()}

    def _labels_by_number(self) -> dict[int, str]:
        """Return the agents' labels by number."""
        labels, rows = self.labels(), self._rows("SELECT number, id FROM agents")
        with self._reading():
            return {number: labels[id] for number, id in rows}

    def missing(self, fixtures: Sequence[Fixture], retry_timeouts: bool = False) -> list[Fixture]:
        """Return the fixtures without a stored game, in their order; with `retry_timeouts`, also those of timeouts."""
        ids = json.dumps([fixture.id for fixture in fixtures])
        query = f"SELECT id FROM games WHERE id IN (SELECT value FROM json_each(?)){_but_timeouts(retry_timeouts)}"
        played = {game for (game,) in self._rows(query, ids)}
        return [fixture for fixture in fixtures if fixture.id not in played]

    def played(self, tables: Tables, retry_timeouts: bool = False) -> int:
        """Return how many games of some tables are stored; with `retry_timeouts`, without those of timeouts.

        The store must hold games with the tables' `opening_moves` and `max_steps` only, as a tournament's does.
        """
        keys = json.dumps([_signed(key) for key in tables.keys])
        query = (
            "SELECT agents, COUNT(*) FROM games WHERE game = ? AND seed IN (SELECT value FROM json_each(?))"
            f"{_but_timeouts(retry_timeouts)} GROUP BY agents"
        )
        ids = {number: id for number, id in self._rows("SELECT number, id FROM agents")}
        with self._reading():
            counts = self._db.execute(query, (tables.game, keys))
            return sum(count for table, count in counts if tables.seats([ids[k] for k in json.loads(table)]))

    def __len__(self) -> int:
        return int(self._rows("SELECT COUNT(*) FROM games")[0][0])

    @property
    def last_row(self) -> int:
        """The row of the newest game; rows of games that are added later are higher."""
        return int(self._rows("SELECT COALESCE(MAX(rowid), 0) FROM games")[0][0])

    def results(self, first: int = FIRST_ROW) -> Results:
        """Return the games that count as columns, ordered by seed and seats; `agents` are the labels of who played.

        Those from the row `first` on, where it is given: games that a reader does not have yet.
        Games that ended in one of `NO_RESULT` do not count. Games of more than two players in which an agent held
        several seats count only if there are no others. In games of team against team the columns are teams, and games
        of mixed teams do not count (columns.py). Raises UserError if the games differ in the number of players.
        """
        return self._results(self._columns(first))

    def results_of(self, fixtures: Iterable[Fixture]) -> Results:
        """Return the games of some fixtures that have a result, as `results` does; `agents` are ids.

        Those with copies of an agent are among them. So the results do not depend on other games of the store.
        """
        ids = json.dumps([fixture.id for fixture in fixtures])
        columns = self._select("id IN (SELECT value FROM json_each(?)) ORDER BY id", ids)
        failed = self._rows(
            "SELECT games.rowid, player FROM failures JOIN games ON games.id = failures.game "
            "WHERE termination NOT IN (?, ?) AND games.id IN (SELECT value FROM json_each(?))",
            *NO_RESULT,
            ids,
        )
        agents = dict(self._rows("SELECT number, id FROM agents"))
        with self._reading():
            numbers = numbers_of(columns.agents, f"several in '{self.path}'")
            return results_of(numbers, agents, columns, failed, copies=True, teams=self.teams())

    def _results(self, columns: Columns) -> Results:
        """Return games by columns, which are those of neighbouring rows."""
        failed = self._rows(
            "SELECT games.rowid, player FROM failures JOIN games ON games.id = failures.game "
            "WHERE termination NOT IN (?, ?) AND games.rowid BETWEEN ? AND ?",
            *NO_RESULT,
            min(columns.rowid, default=0),
            max(columns.rowid, default=-1),
        )
        label = self._labels_by_number()
        with self._reading():
            numbers = numbers_of(columns.agents, f"several in '{self.path}'")
            return results_of(numbers, label, columns, failed, teams=self.teams())

    def teams(self) -> Teams:
        """Return the teams that the game's Spec has; () where the store does not say."""
        spec = self.get("spec")
        found = spec.get("teams", ()) if isinstance(spec, dict) else ()
        return tuple(tuple(map(int, team)) for team in found)

    def mixed(self) -> int:
        """Return how many games with a result do not count, since members of one team were different agents."""
        teams = self.teams()
        if not teams:
            return 0
        counts = self._rows(
            "SELECT agents, COUNT(*) FROM games WHERE termination NOT IN (?, ?) GROUP BY agents", *NO_RESULT
        )
        with self._reading():
            return sum(count for text, count in counts if by_team(json.loads(text), teams) is None)

    def _columns(self, first: int = FIRST_ROW, most: int = -1) -> Columns:
        """Read the games that have a result, from a row on, `most` of them; -1: all."""
        return self._select("rowid >= ? ORDER BY rowid LIMIT ?", first, most)

    def _select(self, condition: str, *values: str | int) -> Columns:
        """Read the games that have a result and fulfil a condition.

        Some rows are read at a time: all at once keep the garbage collector busy.
        """
        columns = Columns()
        names = [field.name for field in fields(Columns)]
        with self._reading():
            read = self._db.execute(
                f"SELECT {', '.join(names)} FROM games WHERE termination NOT IN (?, ?) AND {condition}",
                (*NO_RESULT, *values),
            )
            while rows := read.fetchmany(1000):
                for name, values in zip(names, zip(*rows, strict=True), strict=True):
                    getattr(columns, name).extend(values)
        return columns

    def games(self, agents: Collection[str] | None = None) -> Iterator[PlayedGame]:
        """Yield the stored games as they were added, in the order of their seeds.

        With `agents`, given by their ids, only those in which none but they are seated.
        """
        return (game for _, game in self.rows(Selection(among=agents)))

    def rows(self, selection: Selection) -> Iterator[tuple[str, PlayedGame]]:
        """Yield the selected games with the ids under which they are stored, in the order of their seeds."""
        ids = dict(self._rows("SELECT number, id FROM agents"))
        failed = self._rows("SELECT game, player, how, detail, ply FROM failures ORDER BY game, player")
        yield from self._played(*self._where(selection, ids), ids, failed)

    def find(self, id: str) -> PlayedGame | None:
        """Return the game with an id; None where there is none."""
        ids = dict(self._rows("SELECT number, id FROM agents"))
        failed = self._rows("SELECT game, player, how, detail, ply FROM failures WHERE game = ? ORDER BY player", id)
        return next((game for _, game in self._played("id = ?", [id], ids, failed)), None)

    def _played(
        self, where: str, values: Sequence[str | int], ids: Mapping[int, str], failed: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[str, PlayedGame]]:
        """Yield the games that fulfil a condition, with their ids.

        `ids` are those of the agents by number, `failed` the rows of the table `failures` of these games, or of more.
        """
        settings = (self.get("opening_moves", 0), self.get("max_steps"))
        failures: dict[str, list[Failure]] = {}
        for game, *failure in failed:
            failures.setdefault(game, []).append(Failure(*failure))
        with self._reading():
            rows = self._db.execute(
                "SELECT id, game, seed, agents, payoffs, termination, length, moves, rounding FROM games "
                f"WHERE {where} ORDER BY seed < 0, seed, agents",
                values,
            )
            for id, game, seed, text, payoffs, termination, length, moves, rounding in rows:
                seats = tuple(ids[number] for number in json.loads(text))
                theirs = tuple(failures.get(id, ()))
                if not isinstance(moves, bytes | None) or any(f.player not in range(len(seats)) for f in theirs):
                    raise ValueError("a game's moves or failures are not as a release writes them")
                yield (
                    str(id),
                    PlayedGame(
                        fixture=Fixture(str(game), seats, seed % (1 << 64), *settings),
                        payoffs=tuple(math.nan if paid is None else float(paid) for paid in json.loads(payoffs)),
                        termination=termination,
                        length=int(length),
                        moves=moves,
                        rounding=None if rounding is None else float(rounding),
                        failures=theirs,
                    ),
                )

    def listed(self) -> Iterator[Game]:
        """Yield all games without their moves, in the order of their seeds."""
        return self._listed("1 ORDER BY seed < 0, seed, agents")

    def added(self, seatings: Iterable[Sequence[str]] | None, most: int, skip: int = 0) -> Iterator[Game]:
        """Yield games without their moves as they were added: `most` at most, after the first `skip`.

        With `seatings`, only those with one of these in their seats: agents' ids. The first games of a large store are
        there at once.
        """
        if seatings is None:
            return self._listed("1 ORDER BY rowid LIMIT ? OFFSET ?", most, skip)
        number = {id: number for number, id in self._rows("SELECT number, id FROM agents")}
        texts = [json.dumps([number[id] for id in ids]) for ids in seatings]  # as `add` writes them
        where = "agents IN (SELECT value FROM json_each(?)) ORDER BY rowid LIMIT ? OFFSET ?"
        return self._listed(where, json.dumps(texts), most, skip)

    def _listed(self, where: str, *values: str | int) -> Iterator[Game]:
        label = self._labels_by_number()
        seating: dict[str, tuple[str, ...]] = {}  # each text is read once
        payoffs: dict[str, tuple[float | None, ...]] = {}
        with self._reading():
            rows = self._db.execute(
                f"SELECT id, seed, agents, payoffs, termination, length FROM games WHERE {where}", values
            )
            for id, seed, agents, paid, termination, length in rows:
                if agents not in seating:
                    seating |= _seating([agents], label)
                if paid not in payoffs:
                    payoffs[paid] = tuple(json.loads(paid))
                yield Game(id, seed % (1 << 64), seating[agents], payoffs[paid], termination, length)

    def count(self, selection: Selection) -> int:
        """Return the number of selected games."""
        where, values = self._where(selection, dict(self._rows("SELECT number, id FROM agents")))
        return int(self._rows(f"SELECT COUNT(*) FROM games WHERE {where}", *values)[0][0])

    def _where(self, selection: Selection, ids: Mapping[int, str]) -> tuple[str, list[str | int]]:
        """Return the condition of a selection, and the values in it; `ids` are those of the agents by number."""
        texts = [text for (text,) in self._rows("SELECT DISTINCT agents FROM games")]
        with self._reading():
            seating = _seating(texts, ids)
        wanted = [text for text, seats in seating.items() if selection.seats(seats)]
        where = "agents IN (SELECT value FROM json_each(?))"
        values: list[str | int] = [json.dumps(wanted)]
        for condition, value in (
            ("substr(id, 1, length(?)) = ?", selection.id or None),
            ("seed = ?", None if selection.seed is None else _signed(selection.seed)),
        ):
            if value is not None:
                where += f" AND {condition}"
                values += [value] * condition.count("?")
        if selection.sample is not None:
            where = f"id IN (SELECT id FROM games WHERE {where} ORDER BY id LIMIT ?)"
            values.append(selection.sample)
        return where, values

    def seated(self) -> frozenset[str]:
        """Return the ids of the agents that have played, whether their games count or not."""
        ids = dict(self._rows("SELECT number, id FROM agents"))
        with self._reading():
            texts = self._db.execute("SELECT DISTINCT agents FROM games")
            return frozenset(ids[number] for (text,) in texts for number in json.loads(text))

    def terminations(self) -> dict[str, int]:
        """Return the number of games by termination, whether they count or not."""
        return dict(self._rows("SELECT termination, COUNT(*) FROM games GROUP BY termination ORDER BY termination"))

    def failures(self) -> list[AgentFailures]:
        """Return the agents that forfeited games, ordered by label.

        Stores of versions 1 and 2 did not record who forfeited a game and why: their games have no failures.
        """
        rows = self._rows(
            "SELECT games.agents, failures.player, how, detail, ply, games.id, games.seed "
            "FROM failures JOIN games ON games.id = failures.game ORDER BY games.id, failures.player"
        )
        label = self._labels_by_number()
        found: dict[str, AgentFailures] = {}
        with self._reading():
            seating = _seating({row[0] for row in rows}, label)
            count = Counter(seating[text][player] for text, player, *_ in rows)
            for text, player, how, detail, ply, game, seed in rows:
                agent = seating[text][player]
                failure = Failure(int(player), str(how), str(detail), int(ply))
                found.setdefault(agent, AgentFailures(agent, count[agent], failure, str(game), seed % (1 << 64)))
        return [found[agent] for agent in sorted(found)]

    def without_result(self) -> dict[str, dict[tuple[str, ...], int]]:
        """Return the number of games without a result, by termination and by the agents' labels in seat order."""
        query = (
            "SELECT termination, agents, COUNT(*) FROM games WHERE termination IN (?, ?) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        rows = self._rows(query, *NO_RESULT)
        label = self._labels_by_number()
        found: dict[str, dict[tuple[str, ...], int]] = {}
        with self._reading():
            seating = _seating({row[1] for row in rows}, label)
            for termination, text, count in rows:
                found.setdefault(termination, {})[seating[text]] = count
        return found

    def repeated(self) -> int:
        """Return the number of seatings with at least MIN_SEEDS games that all have the same moves and payoffs."""
        if self._rows("SELECT COUNT(DISTINCT seed) FROM games")[0][0] < MIN_SEEDS:
            return 0
        one_game = "COUNT(*) >= ? AND MIN(moves) = MAX(moves) AND MIN(payoffs) = MAX(payoffs)"
        query = f"SELECT COUNT(*) FROM (SELECT 1 FROM games GROUP BY agents HAVING {one_game})"
        return int(self._rows(query, MIN_SEEDS)[0][0])

    def check(self) -> None:
        """Read everything that a report reads, some games at a time; raises UserError where the store is damaged."""
        players: dict[int, str] = {}
        columns = self._columns(most=CHECKED)
        while columns.rowid:
            self._results(columns)
            players[columns.agents[0].count(",")] = columns.agents[0]
            last = columns.rowid[-1]
            columns = self._columns(last + 1, CHECKED) if last < (1 << 63) - 1 else Columns()
        with self._reading():
            numbers_of(list(players.values()), f"several in '{self.path}'")
        for read in (self.seated, self.terminations, self.failures, self.repeated):
            read()


def _but_timeouts(retry: bool) -> str:
    """Return the end of a condition that leaves out the games that are to be played again."""
    return " AND termination != 'timeout'" if retry else ""


def _signed(seed: int) -> int:
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def _seating(texts: Iterable[str], label: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Return the labels by seat for each JSON list of agents' numbers; raises ValueError or KeyError for other text."""
    seats = {text: json.loads(text) for text in texts}
    if not all(isinstance(numbers, list) and numbers for numbers in seats.values()):
        raise ValueError("a game's agents are not a list")
    return {text: tuple(label[number] for number in numbers) for text, numbers in seats.items()}
