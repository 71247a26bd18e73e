"""A game as drawings, position by position: one of a store, or a new one between agents."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from games.contract import VecEnv
from games.drawing.drawing import drawing_of_frame
from games.drawing.svg import Drawing
from games.errors import UserError
from games.registry import make
from marl.agents.entrants import Identity
from marl.agents.load import identify
from tournaments.playback.moves import moves_of
from tournaments.playback.recorded import SHORT, Record, environments, records, whole
from tournaments.playing.match import dismiss, play
from tournaments.records.fixture import Fixture, seeds_of
from tournaments.records.played import PlayedGame
from tournaments.records.store import Selection, Store


def stored_game(store: Store, selection: Selection, trusted: Collection[str] = ()) -> tuple[Record, VecEnv]:
    """Return the first of the selected games, by seed, and one environment to play it again in.

    Raises UserError where the store has no moves of it, and RunFailed where these do not fit the game.
    """
    record = next(records(store, selection))
    if record.game.moves is None:
        raise UserError(
            f"expected moves of the game {record.id[:SHORT]} in '{store.path}', which has none; name another"
        )
    venv = environments(store, 1, trusted)
    next(whole(store, replace(selection, id=record.id), venv))
    return record, venv


def new_game(game: str, agents: Sequence[str], seed: int) -> tuple[Record, VecEnv]:
    """Let agents, one for each seat or one for all, play a game; return it, and an environment to play it again in.

    Raises UserError for a number of agents that is not the game's, and where the game or an agent cannot be had.
    """
    venv = make(game, 1)
    seats = venv.spec.num_players
    if len(agents) not in (1, seats):
        raise UserError(f"expected one agent, or one for each of the {seats} seats of '{game}', got {len(agents)}")
    seated = list(agents) * (seats if len(agents) == 1 else 1)
    found = {text: _one(text, venv) for text in dict.fromkeys(seated)}
    digests = tuple(found[text].digest for text in seated)
    fixture = Fixture(game, digests, seeds_of(seed, range(1))[0])
    references = dict.fromkeys(agent.reference for agent in found.values())
    try:
        (played,) = play(game, list(references), [fixture], 1)
    finally:
        dismiss()
    return Record(fixture.id, played, tuple(found[text].name for text in seated)), venv


def _one(text: str, venv: VecEnv) -> Identity:
    """Return who the one agent is that a reference stands for."""
    agents = identify([text], venv.spec)
    if len(agents) != 1:
        raise UserError(f"expected one agent, got '{text}', which stands for {len(agents)}; name one of them")
    return agents[0]


def drawings(venv: VecEnv, game: PlayedGame, player: int | None, places: Collection[int]) -> Iterator[Drawing]:
    """Yield the positions of a game at some places, in order: all of them, or what a player sees.

    A place is a number of moves, from 0 to `steps_of(game)`. The moves of the game must be legal, as those of
    `stored_game` and `new_game` are.
    """
    moves = moves_of(game, venv.spec)
    assert moves is not None, "a game without moves cannot be drawn"
    timestep = venv.reset(np.array([game.fixture.seed], np.uint64))
    for step in range(max(places) + 1):
        if step in places:
            yield drawing_of_frame(venv, 0, player, None if player is None else timestep.obs[0, player])
        if step < max(places):
            timestep = venv.step(moves[step][None].copy())  # the record cannot be written, and some games want to
