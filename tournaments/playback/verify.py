"""Whether recorded games are what their moves, their seeds and their agents make them.

`compare` plays the moves again: payoffs, length and ending must be those of the record, payoffs within the bound on
their rounding error. `ask_again` lets the agents play the fixtures again and compares what they do.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from games import rounding
from games.contract import Spec
from games.errors import UserError
from marl.agents.load import identify
from marl.agents.references import untrusted
from marl.rollout.loop import most_steps
from tournaments.playback.moves import Playback, steps_of
from tournaments.playback.recorded import TOGETHER, Record, bound_of, environments, played_back, records
from tournaments.playing.match import dismiss, forfeit_payoffs, play_chunk
from tournaments.playing.play import BATCH, NUM_ENVS
from tournaments.records.facts import Facts
from tournaments.records.played import PlayedGame, StoredAgent
from tournaments.records.results import FORFEITS
from tournaments.records.store import Selection, Store
from tournaments.schedules.pieces import batches, by_pairing

MACHINES = ("timeout",)  # endings that depend on the machine's speed


@dataclass(frozen=True)
class Difference:
    """A game that is not as it is recorded: its id, its agents' labels by seat, and how it differs."""

    game: str
    agents: tuple[str, ...]
    seed: int
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    `verified` counts the games whose moves were played again, `without_moves` those that have none, `asked` those that
    their agents played again; `differences` are the games that differ, in the order of their seeds, and `notes` say
    what was not compared, and why.
    """

    verified: int
    without_moves: int
    asked: int
    differences: list[Difference]
    notes: list[str]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        same = "all as recorded" if not self.differences else f"{len(self.differences):,} differ"
        asked = f", {self.asked:,} by their agents" if self.asked else ""
        if not self.verified and not self.asked:
            return "No game could be played again."
        return f"{_games(self.verified)} played again{asked}: {same}."


def verify(store: Store, selection: Selection, *, agents: bool = False, trusted: Collection[str] = ()) -> Verdict:
    """Play the selected games again; with `agents` also ask the agents that are still who they were.

    `trusted` are references of code that the store names and that may run. Raises UserError for a game that cannot be
    built.
    """
    venv = environments(store, store.count(selection), trusted)
    spec = replace(venv.spec, teams=Facts.of(store).teams)  # who forfeited with whom is as it was
    found: dict[str, Difference] = {}
    verified = without_moves = 0
    for record, again in played_back(store, selection, venv):
        without_moves += record.game.moves is None
        verified += record.game.moves is not None
        if difference := compare(record, again, spec):
            found[record.id] = difference
    notes = _changed(store, venv.spec)
    if without_moves:
        notes.append(f"the store has no moves of {_games(without_moves)}, which cannot be played again")
    asked = 0
    if agents:
        references, unknown = known_agents(store, venv.spec, trusted)
        notes += unknown.values()
        for record, difference in ask_again(store, selection, references):
            asked += 1
            if difference:
                found.setdefault(record.id, difference)
    return Verdict(verified, without_moves, asked, list(found.values()), notes)


def _changed(store: Store, spec: Spec) -> list[str]:
    """Return a note where the game is described otherwise than when the store was made."""
    then, now = store.get("spec"), json.loads(json.dumps(spec.to_json()))
    fields = [name for name in then if then[name] != now.get(name)]  # later versions may tell more of a game
    if not fields:
        return []
    what = "; ".join(f"{name} {json.dumps(then[name])}, now {json.dumps(now.get(name))}" for name in fields)
    return [f"the game has changed since the store was made: {what}; ratings follow the store"]


def _games(number: int) -> str:
    return f"{number:,} game{'s' * (number != 1)}"


def compare(record: Record, again: Playback, spec: Spec) -> Difference | None:
    """Return how a recorded game differs from what its moves make of it; None if it does not."""
    what = _misnamed(record) or again.fault
    if record.game.moves is not None:
        what = what or _differing(record.game, again, spec)
    return _difference(record, what) if what else None


def _difference(record: Record, what: str) -> Difference:
    return Difference(record.id, record.agents, record.game.fixture.seed, what)


def _misnamed(record: Record) -> str:
    if record.id == record.game.fixture.id:
        return ""
    return f"its id is not that of its game, agents, seed and settings ({record.game.fixture.id})"


def _differing(game: PlayedGame, again: Playback, spec: Spec) -> str:
    """Return how the payoffs, the length or the ending differ; "" if none does. All recorded moves were played."""
    ended = "truncated" if again.truncated else "finished" if again.over else ""
    if game.termination == "no_contest" and ended:  # played to its end, and not rated
        return _paid_otherwise(game, again, again.payoffs, spec)
    if game.termination in ("finished", "truncated"):
        if ended != game.termination:
            now = f"it is {ended}" if ended else f"it goes on after {again.length} steps"
            return f"it is recorded as {game.termination}, and {now}"
        return _paid_otherwise(game, again, again.payoffs, spec)
    if ended:
        return f"it is recorded as {game.termination.replace('_', ' ')}, and it is {ended} after {again.length} steps"
    if game.termination == "cut":
        most = game.fixture.max_steps or most_steps(spec)
        if game.length != most:
            return f"it is recorded as cut after {game.length} steps, and games are cut after {most}"
        return _paid_otherwise(game, again, again.payoffs, spec)
    if game.termination in FORFEITS and game.failures:
        return _forfeited_otherwise(game, again, spec)
    return ""  # who forfeited or resigned is not known from the moves


def _forfeited_otherwise(game: PlayedGame, again: Playback, spec: Spec) -> str:
    offenders = [failure.player for failure in game.failures]
    idle = [player for player in offenders if player not in again.acting]
    if idle:
        return f"player {idle[0]} is recorded to forfeit it at step {steps_of(game)}, and does not act there"
    if any(failure.ply != steps_of(game) for failure in game.failures):
        return f"it is recorded to be forfeited at step {game.failures[0].ply}, and has {game.length} steps"
    return _paid_otherwise(game, again, forfeit_payoffs(spec, offenders, again.payoffs), spec)


def _paid_otherwise(game: PlayedGame, again: Playback, payoffs: Sequence[float], spec: Spec) -> str:
    """Return how the payoffs differ, or the bound on their rounding error, which decides what is a draw."""
    bound = again.rounding + rounding.of_sums(spec, game.length - again.length)  # with the step of a forfeit
    if game.rounding is None:
        bound = max(bound, bound_of(game))
    elif not abs(game.rounding - bound) <= bound / 2:  # other machines may pay otherwise in the last digits
        return f"its payoffs are recorded with a rounding error of at most {game.rounding:.2g}, and it is {bound:.2g}"
    for player, (then, now) in enumerate(zip(game.payoffs, payoffs, strict=True)):
        if math.isnan(then) != math.isnan(now) or abs(then - now) > bound:
            return f"player {player} is recorded to be paid {then:g}, and is paid {now:g}"
    return ""


def known_agents(store: Store, spec: Spec, trusted: Collection[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Return the references of the agents that are still who they were, by id, and why the others are not asked.

    An agent whose reference names a user's code, or a server, is asked only if that is one of `trusted`.
    """
    references, others = {}, {}
    labels, seated = store.labels(), store.seated()
    for agent in store.agents():
        if agent.id not in seated:
            continue
        reason = _unknown(agent, spec, trusted)
        if reason:
            others[agent.id] = f"'{labels[agent.id]}' {reason}"
        else:
            references[agent.id] = agent.reference
    return references, others


def _unknown(agent: StoredAgent, spec: Spec, trusted: Collection[str]) -> str:
    """Return why an agent cannot be asked again; "" if it can."""
    reference = agent.reference
    if not reference:
        return "has no reference in the store"
    try:
        if reason := untrusted(reference, trusted):
            return reason
        found = {one.digest for one in identify([reference], spec)}
    except UserError as error:
        return f"cannot be loaded: {error}"
    if found == {agent.id}:
        return ""
    return f"has changed: '{reference}' has the digest {min(found)[:8]}..., and {agent.id[:8]}... has played"


def ask_again(
    store: Store, selection: Selection, references: Mapping[str, str], num_envs: int = NUM_ENVS
) -> Iterator[tuple[Record, Difference | None]]:
    """Play selected games again with their agents, and yield each with how it differs from the record.

    Games in which others than the agents of `references`, by id, are seated, those that ended in a timeout, and those
    with other seats than the game's are left out.
    """
    facts = Facts.of(store)
    asked = (
        record
        for record in records(store, replace(selection, among=references))
        if record.game.termination not in MACHINES and len(record.agents) == facts.num_players and not _misnamed(record)
    )
    try:
        while chosen := {record.game.fixture: record for record in islice(asked, TOGETHER)}:
            for piece in batches(by_pairing(chosen), BATCH):
                seated = sorted({references[agent] for fixture in piece for agent in fixture.agents})
                for played in play_chunk(facts.game, seated, piece, num_envs):
                    record = chosen[played.fixture]
                    what = _played_otherwise(record.game, played)
                    yield record, _difference(record, what) if what else None
    finally:
        dismiss()


def _played_otherwise(then: PlayedGame, now: PlayedGame) -> str:
    """Return how a game that its agents have played again differs from the record; "" if it does not."""
    if then.moves is not None and then.moves != now.moves:
        return "its agents move otherwise"
    for what in ("termination", "length"):
        before, after = getattr(then, what), getattr(now, what)
        if before != after:
            return f"its agents play it to the {what} {after}, and {before} is recorded"
    bound = max(bound_of(then), bound_of(now))
    same = all(
        math.isnan(a) == math.isnan(b) and not abs(a - b) > bound
        for a, b in zip(then.payoffs, now.payoffs, strict=True)
    )
    return "" if same else f"its agents are paid {now.payoffs}, and {then.payoffs} are recorded"
