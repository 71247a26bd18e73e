"""Recorded games as text: a line for each, or one of them move by move; and as lines of JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from games.contract import Spec
from games.text import cut, shown
from tournaments.playback.moves import Move, Playback, Step
from tournaments.playback.recorded import SHORT, Record, ending
from tournaments.records.played import Note
from tournaments.records.store import Store

MOST_NAME = 40  # characters of an agent's name in a list


def lines(store: Store, chosen: Iterator[Record]) -> Iterator[str]:
    """Yield a title, and a line for each game: its id, seed, agents by seat, payoffs, how it ended, its steps."""
    width = max((len(_name(label)) for label in store.labels().values()), default=0)
    for number, record in enumerate(chosen):
        seats = [_name(agent).ljust(width) for agent in record.agents]
        paid = [written(payoff).rjust(6) for payoff in record.game.payoffs]
        if not number:
            titles = [f"player {seat}".ljust(width) for seat in range(len(seats))]
            yield _line("id", "seed", titles, ["payoff".rjust(6)] * len(paid), "ended", "steps")
        game = record.game
        ended = game.termination.replace("_", " ")
        yield _line(record.id[:SHORT], str(game.fixture.seed), seats, paid, ended, str(game.length))


def _line(id: str, seed: str, seats: Sequence[str], paid: Sequence[str], ended: str, steps: str) -> str:
    return "  ".join([id.ljust(SHORT), seed.rjust(20), *seats, *paid, ended.ljust(14), steps.rjust(5)])


def _name(label: str) -> str:
    return cut(shown(label), MOST_NAME)


def written(payoff: float) -> str:
    """Return a payoff as text; a dash where a forfeit left it open."""
    return "—" if math.isnan(payoff) else f"{payoff:g}"


def move_by_move(record: Record, again: Playback, opening_moves: int, notes: Sequence[Note] = ()) -> Iterator[str]:
    """Yield the lines of one game: who played, each position, what agents said, each move, and how it ended."""
    game = record.game
    said: dict[int, list[str]] = {}
    for note in notes:
        said.setdefault(note.ply, []).extend(_said(note, record.agents))
    yield f"game {record.id}"
    yield f"{game.fixture.game}, seed {game.fixture.seed}"
    for player, (agent, paid) in enumerate(zip(record.agents, game.payoffs, strict=True)):
        yield f"player {player}: {shown(agent)}, payoff {written(paid)}"
    if game.moves is None:
        yield f"{ending(record)}; the store has no moves of this game"
        return
    for number, step in enumerate(again.steps):
        yield ""
        yield from step.position.splitlines()
        yield from said.pop(number, ())
        opening = " (random opening)" if number < opening_moves else ""
        yield f"{number + 1}. {_moves(step, record.agents)}{opening}"
    yield ""
    yield from again.position.splitlines()
    yield from chain.from_iterable(said.values())  # at the step at which the game was broken off
    yield f"the moves cannot be played on: {again.fault}" if again.fault else ending(record)


def _moves(step: Step, agents: Sequence[str]) -> str:
    """Return the moves of a step; that of the game itself where nobody acts."""
    said = (f"{shown(agents[move.player])} (player {move.player}): {shown(move.name)}" for move in step.moves)
    return ", ".join(said) or "nobody acts"


def _said(note: Note, agents: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the last answer in a language model's transcript; none of other notes."""
    if note.player is None:
        return
    try:
        agent = agents[note.player]
        answers = [said["content"] for said in note.value["messages"] if said["role"] == "assistant"]
        lines = str(answers[-1]).splitlines() if answers else []
    except (TypeError, LookupError):
        return
    yield from (f"    {shown(agent)} says: {shown(line)}" for line in lines if line.strip())


def json_line(record: Record, again: Playback, spec: Spec, opening_moves: int, notes: Sequence[Note] = ()) -> str:
    """Return a game as one line of JSON.

    `moves` and `names` have a list for each step, with null for players who did not act; null where the store has none.
    `notes` are remarks on its steps, such as the transcripts of language models.
    """
    game, known = record.game, record.game.moves is not None
    data = {
        "id": record.id,
        "game": game.fixture.game,
        "seed": game.fixture.seed,
        "agents": list(record.agents),
        "digests": list(game.fixture.agents),
        "payoffs": [None if math.isnan(paid) else paid for paid in game.payoffs],
        "termination": game.termination,
        "length": game.length,
        "opening_moves": opening_moves,
        "failures": [{"player": f.player, "how": f.how, "detail": f.detail, "step": f.ply} for f in game.failures],
        "moves": [_by_player(step, spec.num_players, "action") for step in again.steps] if known else None,
        "names": [_by_player(step, spec.num_players, "name") for step in again.steps] if known else None,
        "notes": [{"step": note.ply, "kind": note.kind, "value": note.value} for note in notes],
    }
    return json.dumps(data)


def _by_player(step: Step, num_players: int, what: str) -> list[Any]:
    acted: dict[int, Move] = {move.player: move for move in step.moves}
    return [getattr(acted[player], what) if player in acted else None for player in range(num_players)]
