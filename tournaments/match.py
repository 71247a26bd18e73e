"""Matches: play fixtures in batches through the one rollout, and yield each game when it ends.

An agent's randomness is a hash of (what it draws by, the fixture's seed, the player, the decision): the same fixture is
the same game, move for move, whatever was played beside it. A run draws by its weights and options, a scripted agent by
its reference, which is its name and arguments (`Entrant.draws`).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from games.contract import Spec
from games.errors import RunFailed
from games.keys import stream
from games.registry import make
from marl.entrants import enter
from marl.rollout import Episode, episodes
from tournaments.schedule import Fixture
from tournaments.store import PlayedGame

KEY = stream(0, "tournament")


def play(game: str, references: Sequence[str], fixtures: Sequence[Fixture], num_envs: int) -> Iterator[PlayedGame]:
    """Play fixtures, which have equally many opening moves, and yield games as they end.

    `references` name the agents that sit in the fixtures, and no others. An agent that raises or moves illegally
    forfeits that game, and the rest plays on. Raises RunFailed where one is no longer who the fixtures say.
    """
    (opening_moves,) = {fixture.opening_moves for fixture in fixtures} or {0}
    venv = make(game, max(1, min(num_envs, len(fixtures))))
    entrants = [enter(text, venv.spec) for text in references]
    seated = {agent for fixture in fixtures for agent in fixture.agents}
    for entrant in entrants:
        if entrant.digest not in seated:
            raise RunFailed(f"the agent '{entrant.reference}' changed while it was being played; run again to go on")
    entry = {entrant.digest: index for index, entrant in enumerate(entrants)}
    played = episodes(
        venv,
        [entrant.agent for entrant in entrants],
        np.array([entrant.stream(KEY) for entrant in entrants], np.uint64),
        np.array([fixture.seed for fixture in fixtures], np.uint64),
        np.array([[entry[agent] for agent in fixture.agents] for fixture in fixtures]),
        opening_moves=opening_moves,
        forfeits=True,
    )
    for episode in played:
        yield _game(fixtures[episode.index], episode, venv.spec)


def play_chunk(game: str, references: Sequence[str], fixtures: Sequence[Fixture], num_envs: int) -> list[PlayedGame]:
    """Play a few fixtures, in whatever process this is."""
    torch.set_num_threads(1)  # a result may depend on the number of threads: here it is always one
    return list(play(game, references, fixtures, num_envs))


def chunks(fixtures: Sequence[Fixture], size: int) -> Iterator[list[Fixture]]:
    """Cut fixtures into pieces that are played and stored together."""
    queue = iter(fixtures)
    while piece := list(islice(queue, size)):
        yield piece


def _game(fixture: Fixture, episode: Episode, spec: Spec) -> PlayedGame:
    payoffs = tuple(episode.returns.tolist())
    termination = "truncated" if episode.truncated else "finished"
    if episode.forfeits:
        termination = episode.forfeits[0].how
        payoffs = forfeit_payoffs(spec, [forfeit.player for forfeit in episode.forfeits], payoffs)
    moves = np.ascontiguousarray(episode.moves.astype(np.int32) if spec.num_actions else episode.moves)
    return PlayedGame(
        fixture=fixture,
        payoffs=payoffs,
        termination=termination,
        length=episode.length,
        moves=moves.tobytes(),
        rounding=episode.rounding,
    )


def forfeit_payoffs(spec: Spec, offenders: Sequence[int], paid: Sequence[float]) -> tuple[float, ...]:
    """Return the payoffs of a forfeited game: the worst return for the offenders, who pay it to the others if zero-sum.

    A zero-sum game that all of them broke off is worth 0 to each. Other games say nothing of the others, who get NaN.
    Where no bound is known the worst is -1, or the least that an offender had been paid, until `settle` knows better.
    """
    worst = spec.return_bounds[0] if spec.return_bounds else min(-1.0, *(paid[player] for player in offenders))
    others, gain = spec.num_players - len(offenders), math.nan
    if spec.payoff == "zero_sum":
        if not others:
            return (0.0,) * spec.num_players
        gain = -worst * len(offenders) / others
    return tuple(worst if player in offenders else gain for player in range(spec.num_players))
