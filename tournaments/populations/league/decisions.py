"""What a league decides when a round begins: who freezes, from where each learner trains, and whom it meets.

    freezes      a learner's newest checkpoint, as it was measured: it has beaten all of its rivals, or has none yet, or
                 its time is up
    trains from  that checkpoint too; or from the start, which only one that freezes can do
    meets        opponents with weights, by its role (roles.py) and what is known of them (evidence.py)

Who freezes is decided from the members as they are, and matchmaking follows with what has frozen. Pure functions of the
payoff table and the members: the order in which these are given changes nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from games import keys
from games.contract import Spec
from games.errors import UserError
from tournaments.populations.league.config import LeagueConfig, LeagueGamesConfig
from tournaments.populations.league.evidence import Evidence, FrozenMember, Learner
from tournaments.populations.league.matchmaking import Weights, present
from tournaments.populations.league.roles import League, Role, View, role_of
from tournaments.ratings import bounds

BEATEN = 0.7  # the score of an agent that beats another
ALPHA = 0.05  # the chance that in all rounds of a run a learner is ever said wrongly to beat a rival


@dataclass(frozen=True)
class Freeze:
    """A checkpoint that becomes a member, and why."""

    digest: str
    why: Literal["all beaten", "no rivals", "time"]
    undecided: tuple[str, ...] = ()  # the rivals whose cells had all their games: they count by their means

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {"digest": self.digest, "why": self.why, "undecided": list(self.undecided)}


@dataclass(frozen=True)
class Decision:
    """What is decided of one learner."""

    freeze: Freeze | None
    trains_from: str | None  # the digest of the checkpoint from which it trains; None: from its start
    meets: Weights  # in training, by the opponents' digests; the rest of 1 is self-play

    @property
    def share(self) -> float:
        """The share of the episodes in which it meets an opponent."""
        return round(math.fsum(self.meets.values()), 12)  # 1 and not 1 - 1e-16 where it never meets itself

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {
            "freeze": self.freeze.to_json() if self.freeze else None,
            "trains_from": self.trains_from,
            "share": self.share,
            "meets": dict(sorted(self.meets.items())),
        }


def decide(config: LeagueConfig, round: int, league: League, evidence: Evidence) -> dict[str, Decision]:
    """Return what is decided of each learner, by its id, when a round begins."""
    learners = sorted(league.learners, key=lambda each: each.id)
    freezes = {each.id: freeze_of(each, config, league, evidence) for each in learners}
    frozen = [
        FrozenMember(freeze.digest, each.role, round, each.id)
        for each in learners
        if (freeze := freezes[each.id]) is not None
    ]
    learners = [_after(each, freezes[each.id], config, round) for each in learners]
    now = League(learners, [*league.frozen, *frozen])
    decisions = {}
    for learner in learners:
        met = role_of(learner, config).meets(View(learner, now, evidence))
        met = present(met, config.present, _key(config, "present", round, learner))
        decisions[learner.id] = Decision(freezes[learner.id], learner.newest, met)
    return decisions


def to_json(decisions: Mapping[str, Decision], evidence: Evidence) -> dict[str, Any]:
    """Return what is decided as JSON data, with the digests of those that are not met as they forfeit every game."""
    learners = {name: decision.to_json() for name, decision in sorted(decisions.items())}
    return {"learners": learners, "forfeiters": sorted(evidence.forfeiters)}


def freeze_of(learner: Learner, config: LeagueConfig, league: League, evidence: Evidence) -> Freeze | None:
    """Return whether a learner's newest checkpoint freezes: by the games of the table alone, not those of training."""
    role = role_of(learner, config)
    if learner.newest is None or learner.rounds < role.min_rounds:
        return None
    if learner.rounds >= role.at_last:
        return Freeze(learner.newest, "time")
    standing = standings(learner, role, config, league, evidence)
    if not standing:
        return Freeze(learner.newest, "no rivals")
    if not all(each.beaten for each in standing.values()):
        return None
    undecided = tuple(digest for digest, each in standing.items() if each.said == "undecided")
    return Freeze(learner.newest, "all beaten", undecided)


@dataclass(frozen=True)
class Standing:
    """What the games of a learner's newest checkpoint with a rival say."""

    said: bounds.Verdict  # of whether it beats the rival
    score: float
    pairs: int

    @property
    def beaten(self) -> bool:
        """Whether it beats the rival: by its bound, or by the mean if the cell has had all its games."""
        return self.said == "above" or (self.said == "undecided" and self.score > BEATEN)


def standings(
    learner: Learner, role: Role, config: LeagueConfig, league: League, evidence: Evidence
) -> dict[str, Standing]:
    """Return how a learner stands with each of its rivals, by their digests.

    All that is said of a learner in all rounds is right with probability 1 - ALPHA, but for cells left undecided.
    """
    rivals, games = role.rivals(league) if role.rivals else [], config.games
    alpha = ALPHA / (max(len(rivals), 1) * config.rounds)
    found = {}
    for digest in rivals:
        score, pairs = evidence.cell(learner.newest, digest)
        said = bounds.verdict(score, pairs, BEATEN, alpha, games.at_least, games.at_most)
        found[digest] = Standing(said, score, pairs)
    return found


def more_games(config: LeagueConfig, league: League, evidence: Evidence) -> dict[tuple[str, str], int]:
    """Return how many pairs of games two agents are to have, by their digests, before a round is decided.

    Empty when it can be decided. A learner that may freeze, and whose time is not up, first has `at_least` with each
    rival, then `batch` more at a time with the one that it beats least clearly: if not all are beaten, that shows it
    soonest.
    """
    wanted: dict[tuple[str, str], int] = {}
    for learner in league.learners:
        role = role_of(learner, config)
        if learner.newest is not None and role.min_rounds <= learner.rounds < role.at_last:
            standing = standings(learner, role, config, league, evidence)
            for rival, pairs in _with_rivals(standing, config.games).items():
                cell = min(learner.newest, rival), max(learner.newest, rival)
                wanted[cell] = max(pairs, wanted.get(cell, 0))
    return _between_members(config, league, evidence) | wanted


def _with_rivals(standing: Mapping[str, Standing], games: LeagueGamesConfig) -> dict[str, int]:
    """Return how many pairs of games a learner is to have with some of its rivals."""
    if new := [digest for digest, each in standing.items() if each.pairs < games.at_least]:
        return dict.fromkeys(new, games.at_least)
    in_doubt = {digest: each for digest, each in standing.items() if not each.beaten}
    most = min(games.per_round, games.at_most)
    if not in_doubt or any(each.said != "open" or each.pairs >= most for each in in_doubt.values()):
        return {}  # all are beaten, or one is not
    least = min(in_doubt, key=lambda digest: (in_doubt[digest].score, digest))
    return {least: min(in_doubt[least].pairs + games.batch, most)}


def _between_members(config: LeagueConfig, league: League, evidence: Evidence) -> dict[tuple[str, str], int]:
    """Return how many pairs of games members are to have whose payoffs between them a rule asks for."""
    wanted = {}
    for member in config.members.values():
        if member.rule.needs_payoffs:
            met = {each.digest for each in league.frozen if member.meets(each.role)}
            met |= {str(each.newest) for each in league.learners if member.meets(each.role) and each.newest is not None}
            for cell in combinations(sorted(met - evidence.forfeiters), 2):
                if evidence.cell(*cell)[1] < config.games.at_least:
                    wanted[cell] = config.games.at_least
    return wanted


def check_game(config: LeagueConfig, spec: Spec) -> None:
    """Raise UserError for a game of more or fewer than two players, and for roles that count wins in another game."""
    if spec.num_players != 2:
        raise UserError(f"league needs a game of two players, and '{spec.name}' has {spec.num_players}; choose another")
    counts = [*config.roles.learners, *(name for name, each in config.members.items() if each.rule.counts_wins)]
    if counts and spec.payoff != "zero_sum":
        raise UserError(
            f"'{counts[0]}' meets opponents by how often it wins, and '{spec.name}' is not zero-sum; use members with "
            "opponents: uniform, or window"
        )


def _after(learner: Learner, freeze: Freeze | None, config: LeagueConfig, round: int) -> Learner:
    """Return a learner as it trains on: from its start, if it has frozen and the role's draw says so."""
    if freeze is None:
        return learner
    reset = keys.uniform_one(_key(config, "reset", round, learner)) < role_of(learner, config).reset
    return replace(learner, line=() if reset else learner.line, rounds=0)


def _key(config: LeagueConfig, what: str, round: int, learner: Learner) -> int:
    """Return the key of a draw for a learner in a round."""
    return keys.stream(keys.fold_one(keys.stream(config.seed, what), round), learner.id)
