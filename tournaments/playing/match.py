"""Matches: play fixtures in batches, and yield each game when it ends.

An agent's randomness is a hash of (its `Entrant.draws`, the fixture's seed, the player, the decision): a fixture is the
same game, move for move, whatever other games are played with it. `draws` is made from the weights and options of a
run, and from the reference (name and arguments) of a scripted agent.
"""

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from games.contract import Spec
from games.keys import stream
from marl.agents.foreign import DECISION_SECONDS
from marl.base.threads import use_one_thread
from marl.rollout.loop import Episode, play_episodes
from tournaments.playing.held import Held
from tournaments.records.fixture import Fixture
from tournaments.records.played import Failure, Note, PlayedGame

KEY = stream(0, "tournament")


_held = Held()


def play(
    game: str,
    references: Sequence[str],
    fixtures: Sequence[Fixture],
    num_envs: int,
    decision_seconds: float = DECISION_SECONDS,
) -> Iterator[PlayedGame]:
    """Play fixtures, which have the same `opening_moves` and `max_steps`, and yield games as they end.

    `references` name the agents of the fixtures, and no others. A foreign agent that fails (it raises, ends
    its process, takes longer than `decision_seconds` for a decision) forfeits that game, as does any agent that moves
    illegally, and the rest plays on. Raises RunFailed if an agent's digest is not the one in the fixtures, and if a
    built-in agent or a checkpoint raises: nobody forfeits for a fault of this program.
    """
    ((opening_moves, max_steps),) = {(fixture.opening_moves, fixture.max_steps) for fixture in fixtures} or {(0, None)}
    venv = _held.take_venv(game, max(1, min(num_envs, len(fixtures))))
    seated = {agent for fixture in fixtures for agent in fixture.agents}
    entrants = _held.entrants(game, references, venv.spec, decision_seconds, seated)
    entry = {entrant.digest: index for index, entrant in enumerate(entrants)}
    played = play_episodes(
        venv,
        [entrant.rated() for entrant in entrants],
        np.array([entrant.stream(KEY) for entrant in entrants], np.uint64),
        np.array([fixture.seed for fixture in fixtures], np.uint64),
        np.array([[entry[agent] for agent in fixture.agents] for fixture in fixtures]),
        opening_moves=opening_moves,
        max_steps=max_steps,
        forfeits=True,
    )
    for episode in played:
        yield _game(fixtures[episode.index], episode, venv.spec)
    _held.give_venv(game, venv)


def play_chunk(
    game: str,
    references: Sequence[str],
    fixtures: Sequence[Fixture],
    num_envs: int,
    decision_seconds: float = DECISION_SECONDS,
) -> list[PlayedGame]:
    """Play a few fixtures in this process; agents and environments are kept until `dismiss`.

    `num_envs` games are played at a time if all agents fit into one game. If there are k times as many agents, k times
    as many games are, so that each agent still decides for as many games in one call.
    """
    use_one_thread()  # a result may depend on the number of threads
    seats = len(fixtures[0].agents)
    together = num_envs * max(1, -(-len(references) // seats))
    return list(play(game, references, fixtures, together, decision_seconds))


def dismiss() -> None:
    """Forget the agents that have played in this process, and end the processes of the foreign ones."""
    _held.dismiss()


def _game(fixture: Fixture, episode: Episode, spec: Spec) -> PlayedGame:
    payoffs = tuple(episode.returns.tolist())
    termination = "cut" if episode.cut else "truncated" if episode.truncated else "finished"
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
        failures=tuple(Failure(f.player, f.how, f.detail, episode.length - 1) for f in episode.forfeits),
        notes=tuple(Note.by(player, ply, json.loads(note)) for ply, player, note in episode.notes),
    )


def forfeit_payoffs(spec: Spec, offenders: Sequence[int], paid: Sequence[float]) -> tuple[float, ...]:
    """Return the payoffs [N] of a forfeited game: the offenders get the lower return bound.

    Who forfeits a game of team against team forfeits it for all of its team. In a zero-sum game the others share what
    the offenders lose; if all forfeit, each gets 0. In any other game the others get NaN. Without return bounds the
    offenders get -1, or the lowest payoff of an offender so far if that is less; `settle` replaces it when games are
    rated.
    """
    lost = {player for team in spec.teams if not set(team).isdisjoint(offenders) for player in team} or {*offenders}
    worst = spec.return_bounds[0] if spec.return_bounds else min(-1.0, *(paid[player] for player in offenders))
    others, gain = spec.num_players - len(lost), math.nan
    if spec.payoff == "zero_sum":
        if not others:
            return (0.0,) * spec.num_players
        if spec.teams and spec.return_bounds:  # nobody gains more than the upper bound, so a team loses no more
            worst = max(worst, -spec.return_bounds[1] * others / len(lost))
        gain = -worst * len(lost) / others
    return tuple(worst if player in lost else gain for player in range(spec.num_players))
