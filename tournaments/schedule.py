"""The schedule of a tournament: deterministic, with balanced seats and shared seeds.

A seed is played in every rotation of the seats, and every pairing plays the same seeds (common random numbers). So
seats and chance events favour no agent, and no fixture depends on the other agents: more agents or seeds add fixtures
and change none. One exception: if agents are fewer than players, copies fill the seats; once there are enough agents,
the store keeps those games but does not count them (`Store.results`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement, groupby

from games.errors import UserError
from games.keys import fold_one, stream
from marl.base.digests import digest

ROUND = 8  # seeds that all pairings play before the next ones


@dataclass(frozen=True)
class Fixture:
    """One match to be played: the game's reference, the agents' ids by seat, and the 64-bit seed of its randomness.

    Its first `opening_moves` are drawn at random; after `max_steps` it is cut (None: `marl.rollout.loop.most_steps`).
    """

    game: str
    agents: tuple[str, ...]
    seed: int
    opening_moves: int = 0
    max_steps: int | None = None

    @cached_property
    def id(self) -> str:
        """SHA-256 of the fixture's canonical JSON: sorted keys, no spaces, ASCII; without settings that are not set."""
        fields = {"agents": self.agents, "game": self.game, "seed": self.seed}
        settings = {"opening_moves": self.opening_moves, "max_steps": self.max_steps}
        fields |= {name: value for name, value in settings.items() if value}
        return digest(fields)


def round_robin(
    game: str,
    agents: Sequence[str],
    num_players: int,
    seeds: int,
    seed: int,
    self_play: bool = False,
    opening_moves: int = 0,
    max_steps: int | None = None,
) -> list[Fixture]:
    """Return every pairing of agents on each of `seeds` seeds, in every cyclic rotation of the seats.

    They are ordered by seed, then pairing, then rotation, so that an interrupted tournament is balanced, and agents by
    id, so that the order of the list does not matter. With `self_play`, or with fewer agents than players, an agent may
    hold several seats of a game; rotations with the same seating are played once. Raises UserError for too few agents,
    players or seeds, and for an agent that is listed twice.
    """
    if num_players < 1 or seeds < 1:
        raise UserError(f"expected at least one player and one seed, got {num_players} players and {seeds} seeds")
    if len(set(agents)) < len(agents):
        twice = next(agent for agent in agents if list(agents).count(agent) > 1)
        raise UserError(f"expected each agent once, got '{twice}' twice; a copy of an agent is the same agent")
    if len(agents) < min(num_players, 2):
        raise UserError(f"expected at least {min(num_players, 2)} agents, got {len(agents)}; list more agents")
    pairings = combinations_with_replacement if self_play or len(agents) < num_players else combinations
    tables = [
        tuple(table[(seat + turn) % num_players] for seat in range(num_players))
        for table in pairings(sorted(agents), num_players)
        for turn in range(num_players)
    ]
    tables = list(dict.fromkeys(tables))
    keys = [fold_one(stream(seed, "fixtures"), k) for k in range(seeds)]
    return [Fixture(game, table, key, opening_moves, max_steps) for key in keys for table in tables]


def batches(fixtures: Sequence[Fixture], size: int) -> list[list[Fixture]]:
    """Cut fixtures into pieces of at most `size` that are played and stored together, each of few agents.

    An agent decides at once for all of its games in a piece: few agents with many games each are faster than many with
    few. ROUND seeds of all pairings come first, then the next ones, so that an interrupted tournament is balanced. In a
    round the agents are cut into blocks, and a piece holds the games of one block against another. With g games of each
    pairing of N agents in a round, blocks of (size / g)^(1/N) agents fill a piece.
    """
    turn = {seed: k // ROUND for k, seed in enumerate(dict.fromkeys(fixture.seed for fixture in fixtures))}
    pairings = {(turn[fixture.seed], tuple(sorted(fixture.agents))) for fixture in fixtures}
    agents = sorted({agent for _, pairing in pairings for agent in pairing})
    games = len(fixtures) / max(1, len(pairings))
    players = max((len(fixture.agents) for fixture in fixtures), default=1)
    block_size = max(1, int((size / max(1, games)) ** (1 / players)))
    block = {agent: k // block_size for k, agent in enumerate(agents)}

    def company(fixture: Fixture) -> tuple[int, ...]:
        return turn[fixture.seed], *sorted(block[agent] for agent in fixture.agents)

    ordered = sorted(fixtures, key=lambda fixture: (company(fixture), sorted(fixture.agents)))
    pieces: list[list[Fixture]] = [[]]
    for _, games_of_blocks in groupby(ordered, company):
        queue = list(games_of_blocks)
        if len(pieces[-1]) + len(queue) > size:
            pieces += [queue[start : start + size] for start in range(0, len(queue), size)]
        else:
            pieces[-1] += queue
    return [piece for piece in pieces if piece]
