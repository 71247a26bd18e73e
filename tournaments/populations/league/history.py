"""What a league has done so far."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from marl.training.runlog import logged_step
from tournaments.populations.files import Member
from tournaments.populations.history import NOTHING, History, Line, Payoffs, Section, Shares, with_error
from tournaments.populations.league.config import START, LeagueConfig
from tournaments.populations.league.training import name_of, run_of, until_of
from tournaments.populations.spent import GAMES, spent
from tournaments.ratings.elo import rate, refusal
from tournaments.records.facts import Facts
from tournaments.records.store import STORE, Store, stored

CURVES = 10  # learners that are drawn
LATELY = 5  # freezes that the status names


Read = TypeVar("Read")


class LeagueHistory(History[LeagueConfig]):
    """Who froze, whom the learners met, and what they are worth against anchors that they never met in training."""

    about: ClassVar[str] = (
        "A league (Vinyals et al. 2019): each learner trains in rounds against what others were when they froze, by "
        "the rule of its role. It freezes when games have shown that it beats all its rivals, or when its time is up. "
        "Anchors only rate: no learner meets one in training. Elo is by all games of the league, relative to the "
        "first anchor, ± 95 % by seeds of games. The mixture (σ) is the Nash equilibrium of the members that froze "
        "last."
    )
    columns: ClassVar[Sequence[str]] = ("paid by anchors", "Elo", "σ first", "σ second", "descends from")
    met_columns: ClassVar[Sequence[str]] = ("met in its last round", "share")

    @cached_property
    def name(self) -> Mapping[str, str]:
        """The ids of all checkpoints by digest: of the learners as they were when rounds began, and of the members."""
        newest = {
            digest: name_of(learner, found["round"])
            for found in reversed(self.found)
            for learner, (digest, _) in found["learners"].items()
        }
        return newest | dict(super().name)

    @property
    def more(self) -> dict[str, Any]:
        return {"frozen": self._freezes}

    @property
    def headline(self) -> str | None:
        texts = [
            f"{each['id']} ({each['why']}{', starts again' if each['starts_again'] else ''})"
            for each in self._freezes[-LATELY:]
        ]
        return f"frozen of late: {', '.join(texts)}" if texts else None

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        seconds = spent(self.folder)
        share = [(f"{seconds.get(GAMES, 0) / sum(seconds.values()):.0%}", "of the CPU for games")] if seconds else []
        return [(str(len(self.config.learners)), "learners"), (str(len(self._freezes)), "frozen"), *share]

    @property
    def warnings(self) -> Iterator[str]:
        if reason := self._no_elo:
            yield reason
        if self._freezes and not any(each["why"] == "all beaten" for each in self._freezes):
            yield "No learner was shown to beat all its rivals: what froze had none yet, or its time was up."

    @property
    def sections(self) -> Sequence[Section]:
        names = list(self.config.learners)[:CURVES]
        return [
            Section("Elo", "Of each learner's newest checkpoint, by all games of the league.", self._curves(self._elo)),
            Section(
                "Anchors",
                f"What each learner's newest checkpoint is paid, on average over both seats, by "
                f"{', '.join(self.config.anchors) or 'no anchors'}: agents that no learner meets in training. An "
                "exploiter plays them when it has frozen.",
                self._curves(self._paid_by_anchors),
            ),
            Section(
                "Opponents by round",
                "Each row is a round, each column a frozen member in the order in which it froze; the darker, the more "
                "often the learner met it. What is missing was self-play, or a main as it then was.",
                shares=[self._opponents(name) for name in names],
            ),
        ]

    def _curves(self, worth: Mapping[str, Sequence[Any]]) -> list[Line]:
        """Return a curve for each learner of what its checkpoints are worth."""
        found = []
        for name in list(self.config.learners)[:CURVES]:
            newest = [each["learners"][name][0] for each in self.found]
            found.append(Line(name, [worth[digest][0] if digest in worth else None for digest in newest]))
        return found

    def _opponents(self, name: str) -> Shares:
        """Return how often a learner met each frozen member."""
        decided = [learners[name]["meets"] for learners in self._decided if name in learners]
        rows = [[met.get(member.digest, 0.0) for member in self._frozen] for met in decided]
        return Shares(name, [member.id for member in self._frozen], rows)

    @property
    def _frozen(self) -> list[Member]:
        return [member for member in self.members if member.id != member.learner]

    @cached_property
    def _decided(self) -> list[dict[str, Any]]:
        """What rounds have decided of each learner, by its id."""
        found = (self.decision(number) for number in range(len(self.found)))
        return [decision["learners"] for decision in found if decision]

    @cached_property
    def _freezes(self) -> list[dict[str, Any]]:
        """What has frozen, in order: why, and whether its learner then started again."""
        found = []
        for member in self._frozen:
            if member.role != START:
                decision = self._decided[member.round][str(member.learner)]
                why, again = decision["freeze"]["why"], decision["trains_from"] is None
                found.append({"round": member.round, "id": member.id, "why": why, "starts_again": again})
        return found

    @cached_property
    def _no_elo(self) -> str | None:
        """Why the game gets no Elo; None if it does."""
        facts = self._from_store(Facts.of)
        return refusal(facts.sides, facts.payoff) if facts else None

    @cached_property
    def _elo(self) -> Mapping[str, Sequence[float]]:
        """The Elo of each agent by its digest, and half of its 95 % interval."""
        return {} if self._no_elo else self._from_store(self._rated) or {}

    def _from_store(self, read: Callable[[Store], Read]) -> Read | None:
        """Return what is read from the games; None where there are none."""
        if not (self.folder / STORE).exists():
            return None
        with stored(self.folder / STORE) as store:
            return read(store)

    def _rated(self, store: Store) -> Mapping[str, Sequence[float]]:
        """Return the Elo of the agents that games connect with the first anchor, or of all without an anchor."""
        results = Facts.of(store).settled(store.results())
        if not results.agents:
            return {}
        digest = {label: agent for agent, label in store.labels().items()}
        first = [each.id for text in self.config.anchors[:1] for each in store.agents() if each.reference == text]
        anchor = next((label for label in results.agents if digest[label] in first), None)
        parts = [
            [(each.agent, each.elo, each.ci95) for each in part.ratings] for part in rate(results, anchor=anchor).parts
        ]
        rated = next(part for part in parts if anchor is None or anchor in [name for name, *_ in part])
        return {digest[name]: worth for name, *worth in rated}

    @property
    def _paid_by_anchors(self) -> Mapping[str, tuple[float, float, float | None]]:
        """What agents are paid by the anchors, by their digests, the standard error, and the seeds behind it."""
        return {
            digest: (each["payoff"], each["error"], each.get("seeds"))
            for found in self.found
            for digest, each in found["scores"].items()
        }

    def table(self, number: int) -> Payoffs:
        known = {member.digest: member.id for member in self._frozen if member.round <= number}
        newest = {digest: name for name, (digest, _) in self.found[number]["learners"].items()}
        shown = known | {digest: name for digest, name in newest.items() if digest not in known}
        places = {digest: place for place, digest in enumerate(shown)}
        paid: list[list[float | None]] = [[None] * len(places) for _ in places]
        for (one, other), cell in self._paid(number).items():
            if one in places and other in places:
                paid[places[one]][places[other]] = cell["payoff"][0][0]
                paid[places[other]][places[one]] = cell["payoff"][1][0]
        return Payoffs(number, list(shown.values()), paid)

    def _paid(self, number: int) -> Mapping[tuple[str, str], Any]:
        """Return the cells of the payoff table as a round knows them, by two digests in order."""
        found = {}
        for table in (self.payoff(each) for each in range(number + 1)):
            for cell in table["cells"]:
                one, other = (table["agents"][place] for place in cell["agents"])
                found[one, other] = cell
        return found

    def row(self, member: Member) -> Sequence[str]:
        worth = self.worth(member)
        paid, elo = self._paid_by_anchors.get(member.digest), worth["elo"]
        return [
            with_error(*paid) if paid else NOTHING,
            f"{elo[0]:+.0f} ± {elo[1]:.0f}" if elo else NOTHING,
            *(f"{weight:.3f}" if weight else "0" for weight in worth["weights"]),
            worth["parent"] or NOTHING,
        ]

    def worth(self, member: Member) -> dict[str, Any]:
        elo, paid = self._elo.get(member.digest), self._paid_by_anchors.get(member.digest)
        weights = (self.found[-1]["mixture"] or {}) if self.found else {}
        return {
            "parent": member.parent,
            "anchors": list(paid[:2]) if paid else None,
            "elo": list(elo) if elo else None,
            "weights": weights.get(member.digest, [0.0, 0.0]),
        }

    def made_by(self, member: Member) -> str:
        if member.reference:
            return member.reference
        return f"{member.algorithm}, from {member.parent or 'its start'}, step {member.step:,}"

    def met(self, member: Member) -> Sequence[tuple[str, Sequence[float]]]:
        """Return whom it met in its last round of training."""
        if member.learner is None or not 0 < member.round <= len(self._decided):
            return []
        met = self._decided[member.round - 1][member.learner]["meets"]
        return [(digest, [share]) for digest, share in met.items()]

    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        pair = min(member.digest, other.digest), max(member.digest, other.digest)
        cell = self._paid(len(self.found) - 1).get(pair)
        if cell is None:
            return []
        own = 0 if member.digest == pair[0] else 1
        return [
            {
                "seat": seat,
                "payoff": cell["payoff"][own][seat],
                "error": cell["error"][own][seat],
                "games": cell["games"][seat if own == 0 else 1 - seat],
            }
            for seat in range(2)
        ]

    def _training(self, number: int) -> Mapping[str, tuple[int, int]]:
        found = {}
        for name in self._decided[number] if number < len(self._decided) else ():
            until = until_of(self._trained(name, number), number, self.config)
            found[name] = (logged_step(self.folder / run_of(name, number)), until)
        return found

    def _trained(self, name: str, number: int) -> int:
        """Return how many rounds a learner has trained since its start when a round's training begins."""
        resets = [k for k in range(number + 1) if self._decided[k][name]["trains_from"] is None]
        return number - (resets[-1] if resets else 0)
