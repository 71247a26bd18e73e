"""Play a schedule into a store, round by round."""

from collections.abc import Callable

from tournaments.records.facts import Facts
from tournaments.records.results import Results
from tournaments.records.store import Store
from tournaments.schedules.rounds import Outcome, Round, Schedule


def play_rounds(
    store: Store,
    schedule: Schedule,
    play: Callable[[Round], None],
    begun: Callable[[Round, int], None] = lambda round, stored: None,
    retry_timeouts: bool = False,
) -> Outcome:
    """Go through the rounds of a schedule; `play` plays what the store lacks of one. Return what was found.

    `begun` is told of each round, and how many of its games are stored already. Rounds that are stored whole are not
    played. With `retry_timeouts`, games that ended because an agent took too long are played again.
    """
    facts, rounds = Facts.of(store), schedule.rounds()
    try:
        round = next(rounds)
        while True:
            stored = round.stored(store, retry_timeouts)
            begun(round, stored)
            if stored < len(round):
                play(round)
            round = rounds.send(_reader(store, facts, round))
    except StopIteration as end:
        found: Outcome = end.value
        return found


def _reader(store: Store, facts: Facts, round: Round) -> Callable[[], Results]:
    """Return what reads the results of a round, with payoffs as they are rated."""
    return lambda: facts.settled(store.results_of(fixture for block in round.blocks(1) for fixture in block))
