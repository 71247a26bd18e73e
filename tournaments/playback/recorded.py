"""Recorded games as they are listed and exported: who played, who won, which moves, in words."""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from games import rounding
from games.contract import VecEnv
from games.errors import RunFailed, UserError, nearest
from games.registry import from_file, make
from tournaments.playback.moves import NUM_ENVS, Playback, play_back
from tournaments.records.facts import Facts
from tournaments.records.played import NO_RESULT, PlayedGame, StoredAgent
from tournaments.records.results import FORFEITS
from tournaments.records.store import Selection, Store

TOGETHER = 4096  # games that are read and played again at a time
SHORT = 12  # digits of a game's id in a list


@dataclass(frozen=True)
class Record:
    """A stored game, its id, and its agents' labels by seat."""

    id: str
    game: PlayedGame
    agents: tuple[str, ...]

    @cached_property
    def outcome(self) -> int | None:
        """Return 1 if player 0 won a two-player game, 0 if it was drawn, −1 if player 1 won; None without a result."""
        if self.game.termination in NO_RESULT:
            return None
        one, other = self.game.payoffs
        return int(rounding.sign(one - other, bound_of(self.game)))


def bound_of(game: PlayedGame) -> float:
    """Return the bound on the rounding error of a game's payoffs; an assumed one where the store has none."""
    if game.rounding is not None:
        return game.rounding
    fractions = [abs(paid) for paid in game.payoffs if paid != round(paid)] if _finite(game) else []
    return rounding.FLOAT32 * max(fractions, default=0.0) * game.length


def _finite(game: PlayedGame) -> bool:
    return all(paid == paid for paid in game.payoffs)


def select(store: Store, agents: list[str], game: str = "", seed: int | None = None) -> Selection:
    """Return the selection of games in which all of `agents` are seated; raises UserError where there is none.

    An agent is named by its label, its name (with or without the brackets), its reference, or the beginning of its id;
    a game by that of its id.
    """
    selection = Selection(id=game.lower(), seed=seed, seated=tuple(agent_of(store, agent) for agent in agents))
    if store.count(selection):
        return selection
    if not len(store):
        raise UserError(f"expected games to show, got '{store.path}' without any; run its tournament first")
    conditions = [f"with '{agent}'" for agent in agents]
    conditions += [f"with an id that begins with '{game}'"] if game else []
    conditions += [f"from the seed {seed}"] if seed is not None else []
    raise UserError(
        f"expected games {' and '.join(conditions)} in '{store.path}', got none of its {len(store):,}; "
        "`marl tournament games` without options lists all"
    )


def agent_of(store: Store, text: str) -> str:
    """Return the id of the agent that a text names; raises UserError where it names none, or several."""
    labels = store.labels()
    if text in labels.values():
        return next(id for id, label in labels.items() if label == text)
    ways: tuple[Callable[[StoredAgent], bool], ...] = (
        lambda agent: text in (agent.name, agent.reference),
        lambda agent: text == agent.name.partition("(")[0],
        lambda agent: agent.id.startswith(text),
    )
    agents = store.agents() if text else []
    found = next(filter(None, ([agent.id for agent in agents if way(agent)] for way in ways)), [])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"'{labels[id]}'" for id in found[:4])
        raise UserError(f"expected one agent, got '{text}', which names {len(found)}: {several}; name one of them")
    known = list(labels.values())
    hint = nearest(text, known) or f"; there are {', '.join(known[:8])}{' and others' if len(known) > 8 else ''}"
    raise UserError(f"expected an agent of '{store.path}', got '{text}'{hint}")


def records(store: Store, selection: Selection) -> Iterator[Record]:
    """Yield the selected games, in the order of their seeds."""
    labels = store.labels()
    for id, game in store.rows(selection):
        yield Record(id, game, tuple(labels[agent] for agent in game.fixture.agents))


def played_back(
    store: Store, selection: Selection, venv: VecEnv, *, names: bool = False, positions: bool = False
) -> Iterator[tuple[Record, Playback]]:
    """Yield the selected games with what came of playing them again (`play_back`), in the order of their seeds."""
    chosen = records(store, selection)
    while some := list(islice(chosen, TOGETHER)):
        again = play_back(venv, [record.game for record in some], names=names, positions=positions)
        yield from zip(some, again, strict=True)


def environments(store: Store, games: int, trusted: Collection[str] = ()) -> VecEnv:
    """Return environments of the store's game to play `games` of its games again.

    A game that names a user's code is built only if it is one of `trusted`. Raises UserError if it cannot be built.
    """
    game = Facts.of(store).game
    if game not in trusted:
        from_file(game, f"if you trust it, type it yourself: --trust {shlex.quote(game)}")
    try:
        return make(game, max(1, min(games, NUM_ENVS)))
    except UserError as error:
        raise UserError(f"the games of '{store.path}' are played again by their game, '{game}': {error}") from error


def whole(
    store: Store, selection: Selection, venv: VecEnv, *, positions: bool = False
) -> Iterator[tuple[Record, Playback]]:
    """Yield the selected games with all their moves; raises RunFailed where these do not fit the game."""
    for record, again in played_back(store, selection, venv, names=True, positions=positions):
        if again.fault:
            raise RunFailed(
                f"the game {record.id[:SHORT]} in '{store.path}' cannot be played again ({again.fault}); the game has "
                "changed since, or the store: `marl tournament verify` lists such games"
            )
        yield record, again


def offenders(record: Record) -> Mapping[int, str]:
    """Return what the players who forfeited a game did, by player."""
    return {failure.player: failure.detail for failure in record.game.failures}


def ending(record: Record) -> str:
    """Return how a game ended, in words."""
    game = record.game
    said = f"{game.termination.replace('_', ' ')} after {steps(game.length)}"
    if game.termination in FORFEITS:
        said += "".join(f"; {record.agents[player]} {did}" for player, did in offenders(record).items())
    return said


def steps(number: int) -> str:
    """Return a number of steps in words."""
    return f"{number:,} step{'s' * (number != 1)}"
