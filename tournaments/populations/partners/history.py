"""What co-play has found: what agents earn alone, with each other, and with strangers."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from games.registry import make
from marl.training.config import TrainConfig
from marl.training.runlog import logged_step
from tournaments.populations.files import DECISION, META, PAYOFF, Member, Round, read_members, table_of
from tournaments.populations.history import NOTHING, History, Line, Payoffs, Section
from tournaments.populations.partners.config import PartnersConfig
from tournaments.populations.partners.pool import ROLES
from tournaments.populations.trained import trained_by
from tournaments.populations.training import MEMBERS
from tournaments.ratings.cross_play import team_returns, with_strangers
from tournaments.reports.pairs import written

PARTNER, HELD_OUT, LEARNER = ROLES


class PartnersHistory(History[PartnersConfig]):
    """The pool, and once the members have met, self-play, cross-play and what learners earn with strangers."""

    about: ClassVar[str] = (
        "Fictitious co-play (Strouse et al. 2021): partners are trained by self-play, each by a seed of its own. "
        "Learners train with a pool of the partners' checkpoints, those of the start, of half the return, and of the "
        "end. Held-out agents are trained as partners are, by other seeds, and are in no pool. Intervals are of 95 %, "
        "over training seeds."
    )
    columns: ClassVar[Sequence[str]] = ("role", "alone", "with held-out agents")

    @classmethod
    def read(cls, folder: Path, config: PartnersConfig) -> "PartnersHistory":
        met = Round(folder, config.rounds)
        found = met.read(META) if met.read(PAYOFF) else None
        return cls(folder, config, read_members(folder), [] if found is None else [found])

    @property
    def game(self) -> str:
        return trained_by(self.folder).game

    @property
    def over(self) -> bool:
        return bool(self.found)

    @property
    def rounds_over(self) -> int:
        if self.over:
            return self.rounds
        return self.config.stages if self.pool else self._stage

    @cached_property
    def pool(self) -> Sequence[Mapping[str, Any]]:
        """The checkpoints with which the learners train; none before they are known."""
        decided = Round(self.folder, self.config.stages).read(DECISION)
        return list(decided["pool"]) if decided else []

    @property
    def doing(self) -> str:
        if self.over:
            return "it is done"
        number = self.config.stages if self.pool else self._stage
        training = self._training(number)
        done = sum(step >= until for step, until in training.values())
        if done == len(training):
            goes_on = (
                f"partners go on to round {number + 1}" if number + 1 < self.config.stages else "the pool is chosen"
            )
            return "all members meet" if self.pool else goes_on
        alone = "partners train to differ" if number else "partners and held-out agents train by self-play"
        roles = "learners train with the pool" if self.pool else alone
        return f"{roles}: {done} of {len(training)} are done"

    @property
    def more(self) -> dict[str, Any]:
        found = self.found[-1] if self.found else {}
        return {"pool": list(self.pool), "found": {name: value for name, value in found.items() if name != "round"}}

    @property
    def headline(self) -> str | None:
        return in_words(self.found[-1]) if self.found else None

    @property
    def plays_as(self) -> str | None:
        learners = [member for member in self.members if member.role == LEARNER]
        return f"its first learner plays as: {learners[0].named(self.folder)}" if learners else None

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        facts = [
            (str(len(self.pool)), "checkpoints in the pool"),
            (trained_by(self.folder).algorithm["name"], "learner"),
        ]
        if not self.found:
            return facts
        narrowed = self.found[-1]["narrowed"]
        return [
            (written(self.found[-1]["gap"][0]), "gap of self-play to cross-play"),
            (written(narrowed["mean"], narrowed["interval"]), "more with strangers by co-play"),
            *facts,
        ]

    @property
    def warnings(self) -> Iterator[str]:
        if make(self.game, 1).spec.max_length == 1:
            yield (
                "An episode of this game is one step, in which nothing that a partner does can be seen before one "
                "acts. Co-play cannot learn to answer a stranger's convention here: whatever the pool, it guesses."
            )
        if not self.found:
            return
        found = self.found[-1]
        if found["gap"][1] <= 0:
            yield (
                "The gap of self-play to cross-play is not clear: agents that were trained apart may play well "
                "together as they are, and then there is nothing to narrow."
            )
        narrowed = found["narrowed"]
        if narrowed["interval"] is None:
            yield "With one learner nothing is known of other seeds: train two or more."
        elif abs(narrowed["mean"]) <= narrowed["interval"]:
            yield (
                "Whether learners earn more with held-out agents than partners do is not clear by so many training "
                "seeds; more of them (learners, held_out) would tell more."
            )

    @property
    def sections(self) -> Sequence[Section]:
        text = (
            "The team's return is the mean of what both players are paid. Alone, an agent holds both seats; with "
            "strangers it meets agents that were trained apart from it, over both seatings. Only held-out agents are "
            "strangers to the learners: they have met the partners in training."
        )
        return [
            Section("Self-play and cross-play", text, columns=("", "team return"), rows=self._returns()),
            *self._differing,
            Section(
                "What co-play can show",
                "Learners answer what a partner shows during an episode: they can recognise conventions like those of "
                "the pool, and follow. They cannot where nothing shows before it counts, as in a one-shot game whose "
                "conventions are arbitrary: the best response to the pool is then a guess, and earns with strangers "
                "what a guess earns (1/9 at the lever game of nine equal levers). There, games must be learned so that "
                "arbitrary choices are not made (Other-Play), which this method does not do.",
            ),
            Section(
                "The pool",
                "The checkpoints that learners trained with: the start, the first that earns half of what training "
                "gains by self-play, and the final one.",
                columns=("partner", "stage", "step", "digest"),
                rows=[(each["partner"], each["stage"], f"{each['step']:,}", each["digest"][:8]) for each in self.pool],
            ),
        ]

    @property
    def _differing(self) -> Sequence[Section]:
        """How partners came to differ, where they are paid for it."""
        if not self.config.differs:
            return []
        title = "Partners that differ"
        if not self.config.diversity or not self.config.diversity.cross_play:
            return [Section(title, f"Partners are paid {self._diversity}: more for what the others hardly ever do.")]
        text = (
            f"Partners are paid {self._diversity}: minus what they earn with the partner that they played best with "
            "when the round began. The curves are means over the partners, at the beginning of each round: what they "
            "earn alone, with the others, and with the one that fits best."
        )
        rounds = (Round(self.folder, number).read(DECISION) for number in range(1, self.config.stages))
        earned = [None if decided is None else decided["earned"] for decided in rounds]
        names = {"self_play": "alone", "cross_play": "with the others", "compatible": "with the one that fits best"}
        lines = [
            Line(shown, [None, *(None if each is None else each[name] for each in earned)])
            for name, shown in names.items()
        ]
        return [Section(title, text, lines=lines)]

    @property
    def _diversity(self) -> str:
        """What partners are paid for being different, as the config has it."""
        given = {} if self.config.diversity is None else self.config.diversity.model_dump(exclude_none=True)
        return ", ".join(f"diversity: {name} {weight:g}" for name, weight in given.items())

    def _returns(self) -> list[tuple[str, str]]:
        if not self.found:
            return []
        found = self.found[-1]
        narrowed = found["narrowed"]
        pool = found.get("pool")
        own = [] if pool is None else [("the gap of partners alone", _bounded(pool["gap"]))]
        return [
            ("partners and held-out agents alone (self-play)", _bounded(found["self_play"])),
            ("with each other (cross-play)", _bounded(found["cross_play"])),
            ("the gap", _bounded(found["gap"])),
            *own,
            ("partners with held-out agents", written(found["partners"])),
            ("learners with held-out agents", written(found["learners"])),
            ("the difference: what co-play narrows", written(narrowed["mean"], narrowed["interval"])),
        ]

    def table(self, number: int) -> Payoffs:
        table = self.payoff(self.rounds)
        return Payoffs(self.rounds, [self.name.get(each, each[:8]) for each in table["agents"]], table["payoff"][0])

    def row(self, member: Member) -> Sequence[str]:
        worth = self.worth(member)
        numbers = (worth["alone"], worth["with_held_out"])
        return [member.role, *(NOTHING if number is None else written(number) for number in numbers)]

    def worth(self, member: Member) -> dict[str, Any]:
        if not self.found:
            return {"alone": None, "with_held_out": None}
        place = self._table.agents.index(member.digest)
        strangers = [other.digest for other in self.members if other.role == HELD_OUT and other.digest != member.digest]
        return {
            "alone": float(team_returns(self._table)[place, place]),
            "with_held_out": float(np.mean(with_strangers(self._table, [member.digest], strangers))),
        }

    @cached_property
    def _table(self) -> Any:
        return table_of(Round(self.folder, self.rounds))

    def made_by(self, member: Member) -> str:
        how = "with the pool" if member.role == LEARNER else "by self-play"
        if member.role == PARTNER and self.config.differs:
            how = f"{how}, with {self._diversity}"
        return f"{trained_by(self.folder).algorithm['name']} {how}, seed {member.seed}"

    @property
    def descent_columns(self) -> Sequence[str]:
        return "trained with", "stage", "step"

    def descent(self, member: Member) -> Sequence[Sequence[str]]:
        if member.role != LEARNER:
            return []
        return [[each["partner"], each["stage"], f"{each['step']:,}"] for each in self.pool]

    def origin(self, member: Member) -> dict[str, Any]:
        return super().origin(member) | {"pool": list(self.pool) if member.role == LEARNER else []}

    def met(self, member: Member) -> Sequence[tuple[str, Sequence[float]]]:
        return []

    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        return self._cells(self.payoff(self.rounds), member, other) if self.found else []

    @property
    def _stage(self) -> int:
        """The newest round in which partners train."""
        trains = (number for number in range(self.config.stages - 1, 0, -1) if any(self._begun(number)))
        return next(trains, 0)

    def _begun(self, number: int) -> Iterator[bool]:
        """Yield whether each partner has begun a round."""
        for name in names_of(self.config, PARTNER):
            yield (self.folder / MEMBERS / name / f"{number:04d}").exists()

    def _training(self, number: int) -> dict[str, tuple[int, int]]:
        training = trained_by(self.folder)
        if number == self.config.stages:
            until = dict.fromkeys(names_of(self.config, LEARNER), self.config.steps or training.steps)
        else:
            until = until_of(self.config, training, number)
        return {
            name: (logged_step(self.folder / MEMBERS / name / f"{number:04d}"), step) for name, step in until.items()
        }


def until_of(config: PartnersConfig, training: TrainConfig, number: int) -> dict[str, int]:
    """Return the step at which each that trains by self-play ends a round; held-out agents train in the first."""
    last = number == config.stages - 1
    partners = dict.fromkeys(
        names_of(config, PARTNER), training.steps if last else min((number + 1) * training.stretch, training.steps)
    )
    return partners if number else partners | dict.fromkeys(names_of(config, HELD_OUT), training.steps)


def names_of(config: PartnersConfig, *roles: str) -> list[str]:
    """Return the ids of the members with some roles."""
    counts = {PARTNER: config.partners, HELD_OUT: config.held_out, LEARNER: config.learners}
    return [f"{role}-{place:04d}" for role in roles for place in range(counts[role])]


def in_words(found: Mapping[str, Any]) -> str:
    """Return what was found as words for the terminal."""
    narrowed = found["narrowed"]
    return (
        f"self-play {_bounded(found['self_play'])}, cross-play {_bounded(found['cross_play'])}, gap "
        f"{_bounded(found['gap'])}; with held-out agents partners earn {written(found['partners'])} and learners "
        f"{written(found['learners'])}: co-play narrows {written(narrowed['mean'], narrowed['interval'])}"
    )


def _bounded(numbers: Sequence[float]) -> str:
    """Return a mean and the bounds of its interval [3] as text."""
    mean, low, high = (written(number) for number in numbers)
    return f"{mean} ({low} to {high})"
