"""Play fixtures into a store: those that it lacks, in pieces of few agents, by workers side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from marl.agents.foreign import DECISION_SECONDS
from marl.agents.references import plays_last
from marl.base import engine as engines
from marl.base.parcels import Reads
from tournaments.playing.match import dismiss, play_chunk
from tournaments.records.fixture import Block, Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.schedules.pieces import batches, by_pairing
from tournaments.schedules.rounds import Round

BATCH = 256  # games that are played, and stored, together
NUM_ENVS = 64  # games that are played at the same time in one process, for as many agents as a game seats


def play_into(
    store: Store,
    game: str,
    references: Mapping[str, str],
    fixtures: Round | Iterable[Fixture],
    *,
    num_envs: int = NUM_ENVS,
    workers: int = 1,
    engine: engines.Engine = "processes",
    decision_seconds: float = DECISION_SECONDS,
    batch: int = BATCH,
    retry_timeouts: bool = False,
    on_games: Callable[[Sequence[PlayedGame]], None] = lambda games: None,
    keep: bool = False,
) -> None:
    """Play the fixtures that the store lacks, and store every batch of games as it ends.

    `references` are those of the agents by digest. Fixtures have the same `opening_moves` and `max_steps`. Those of
    foreign agents and language models come last, since they may hang, or stop the run. `on_games` is called with each
    batch when it is stored. With `retry_timeouts`, games that ended because an agent took too long are played again. An
    agent is loaded when it first sits down; raises RunFailed if it cannot be, or is not the one that its digest says.
    With `keep`, the agents stay for the next call until `dismiss`.
    """
    late = {digest for digest, reference in references.items() if plays_last(reference)}
    blocks = by_pairing(fixtures, late) if isinstance(fixtures, Iterable) else fixtures.blocks(batch, late)
    if len(store):
        blocks = (store.missing(block, retry_timeouts) for block in blocks)
    tasks = (
        (game, _seated(piece, references), piece, num_envs, decision_seconds) for piece in batches(blocks, batch, late)
    )
    try:
        for games in engines.run(play_chunk, tasks, workers, engine):
            store.add(games)
            on_games(games)
    finally:
        if not keep:
            dismiss()


def _seated(piece: Block, references: Mapping[str, str]) -> list[str]:
    """Return the references of the agents that are seated in some fixtures, whose files go with the piece."""
    return [Reads(text) for text in sorted({references[agent] for fixture in piece for agent in fixture.agents})]
