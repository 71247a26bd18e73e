"""Roles: whom a learner of a league meets, of whom it must win to freeze, and what comes after it has frozen.

The numbers are those of AlphaStar (Vinyals et al. 2019, https://doi.org/10.1038/s41586-019-1724-z). With F the frozen
members of all roles, w the learner's win rates, and what is said of a main for each of them by equal shares:

    main                0.50  F by pfsp hard
                        0.35  self-play: a main's newest, itself included; if w <= 0.3, its frozen by pfsp even
                        0.15  verification: frozen main exploiters by pfsp hard, if some w < 0.3; else a main's frozen
                              by pfsp hard, without the monotone suffix, if some w < 0.7; else self-play
    main_exploiter      a main's newest, if w > 0.1; else its frozen by pfsp even
    league_exploiter    F by pfsp capped
    custom              a rule over the frozen of some roles, and itself

Where there is nobody, a learner meets itself. "Newest" is a learner's checkpoint when the round begins. Anchors are
members of no league, so no role can meet one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats
from tournaments.populations.league.config import (
    LEAGUE_EXPLOITER,
    MAIN,
    MAIN_EXPLOITER,
    CustomConfig,
    LeagueConfig,
)
from tournaments.populations.league.evidence import Evidence, FrozenMember, Learner
from tournaments.populations.league.matchmaking import Candidates, Rule, Weights

HARD, CAPPED, EVEN = Rule("pfsp hard"), Rule("pfsp capped"), Rule("pfsp even")
ALL, SELF_PLAY, VERIFICATION = 0.50, 0.35, 0.15  # how often a main does which
TOO_STRONG = 0.3  # a main that the learner beats less often is met as it was earlier
HOPELESS = 0.1  # the same for a main exploiter
EXPLOITED = 0.3  # a main trains again against exploiters that it beats less often
FORGOTTEN = 0.7  # ... and against its past
SOMETIMES = 0.25  # how often a league exploiter starts again


@dataclass(frozen=True)
class League:
    """The members of a league when a round begins, in any order."""

    learners: Sequence[Learner]
    frozen: Sequence[FrozenMember]

    def mains(self) -> list[Learner]:
        """Return the learners whose role is main, in the order of their ids."""
        return sorted((each for each in self.learners if each.role == MAIN), key=lambda each: each.id)

    def of(self, role: str) -> list[FrozenMember]:
        """Return the frozen members that had a role."""
        return [each for each in self.frozen if each.role == role]

    def past(self, learner: Learner) -> list[FrozenMember]:
        """Return the frozen members that a learner was, the oldest first."""
        past = [each for each in self.frozen if each.learner == learner.id]
        return sorted(past, key=lambda each: (each.round, each.digest))


@dataclass(frozen=True)
class View:
    """A league as one of its learners sees it."""

    learner: Learner
    league: League
    evidence: Evidence

    def by(self, rule: Rule, frozen: Sequence[FrozenMember]) -> Weights:
        """Return the weights of frozen members by a rule."""
        return rule.weights(self.candidates(frozen))

    def candidates(self, frozen: Sequence[FrozenMember]) -> Candidates:
        """Return frozen members as candidates of a rule."""
        return self.evidence.candidates(self.learner, frozen)

    def newest(self, main: Learner, above: float) -> Weights:
        """Return a main's newest checkpoint, or if the learner wins no more often than `above`, its frozen by EVEN."""
        if main.newest is not None and self.evidence.win_rate(self.learner, main) > above:
            return {main.newest: 1.0}
        return self.by(EVEN, self.league.past(main))


Meets = Callable[[View], Weights]
Rivals = Callable[[League], list[str]]


@dataclass(frozen=True)
class Role:
    """What a role's learners do. A learner freezes when it has beaten all rivals, or at last."""

    meets: Meets  # weights of opponents that sum to at most 1; the rest is self-play
    rivals: Rivals | None  # the digests of those that it must beat; None: it freezes by time alone
    min_rounds: int  # before which it does not freeze
    at_last: int  # rounds after which it freezes whatever it has beaten
    reset: float = 0.0  # how likely it starts again when it has frozen


def role_of(learner: Learner, config: LeagueConfig) -> Role:
    """Return the role of a learner."""
    if custom := config.members.get(learner.role):
        return Role(custom_meets(custom), None, custom.freeze_every, custom.freeze_every, custom.reset_chance)
    meets, rivals, reset = {
        MAIN: (main_meets, frozen_rivals, 0.0),
        MAIN_EXPLOITER: (main_exploiter_meets, main_rivals, 1.0),
        LEAGUE_EXPLOITER: (league_exploiter_meets, frozen_rivals, SOMETIMES),
    }[learner.role]
    return Role(meets, rivals, config.min_rounds, 2 * config.min_rounds, reset)


def main_meets(view: View) -> Weights:
    """Return the weights of the opponents of a main."""
    mains = view.league.mains()
    share = 1 / len(mains)
    parts = [(ALL, view.by(HARD, view.league.frozen))]
    for main in mains:
        parts += [(SELF_PLAY * share, _self_play(view, main)), (VERIFICATION * share, _verification(view, main))]
    return added(parts)


def _self_play(view: View, main: Learner) -> Weights:
    return {} if main.id == view.learner.id else view.newest(main, TOO_STRONG)


def _verification(view: View, main: Learner) -> Weights:
    exploiters = view.candidates(view.league.of(MAIN_EXPLOITER))
    if (exploiters.win_rates < EXPLOITED).any():
        return HARD.weights(exploiters)
    past = view.league.past(main)
    rates = np.array([view.evidence.win_rate(view.learner, each) for each in past])
    kept = without_monotone_suffix(rates)
    if (rates[:kept] < FORGOTTEN).any():
        return view.by(HARD, past[:kept])
    return _self_play(view, main)


def main_exploiter_meets(view: View) -> Weights:
    """Return the weights of the opponents of a main exploiter."""
    mains = view.league.mains()
    return added([(1 / len(mains), view.newest(main, HOPELESS)) for main in mains])


def league_exploiter_meets(view: View) -> Weights:
    """Return the weights of the opponents of a league exploiter."""
    return view.by(CAPPED, view.league.frozen)


def custom_meets(config: CustomConfig) -> Meets:
    """Return the opponents of a custom role."""

    def meets(view: View) -> Weights:
        frozen = [each for each in view.league.frozen if config.meets(each.role)]
        return added([(1 - config.latest, view.by(config.rule, frozen))])

    return meets


def frozen_rivals(league: League) -> list[str]:
    """Return the digests of all frozen members."""
    return sorted({each.digest for each in league.frozen})


def main_rivals(league: League) -> list[str]:
    """Return the digests of the mains' newest checkpoints."""
    return sorted({main.newest for main in league.mains() if main.newest is not None})


def added(parts: Sequence[tuple[float, Weights]]) -> Weights:
    """Return the weighted sum of weights."""
    terms: dict[str, list[float]] = {}
    for factor, weights in parts:
        for digest, weight in weights.items():
            terms.setdefault(digest, []).append(factor * weight)
    return {digest: total for digest, each in terms.items() if (total := math.fsum(each)) > 0}


def without_monotone_suffix(win_rates: Floats) -> int:
    """Return how many of a learner's win rates against its past, the oldest first, stay without the monotone suffix.

    Against ever newer selves win rates fall; where they rise, something older has been forgotten. What comes after the
    last rise is left out: [.9 .6 .65 .6] -> [.9 .6 .65], and a falling sequence -> nothing.
    """
    rises = np.flatnonzero(np.diff(win_rates) > 0)
    return int(rises[-1]) + 2 if len(rises) else 0
