"""What population-based training has found so far: fitness, settings and copies by round."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import log10
from pathlib import Path
from typing import Any, ClassVar

from games.errors import UserError
from marl.training.runlog import logged_step
from tournaments.populations.files import DECISION, Member, Round, findings, read_members
from tournaments.populations.history import NOTHING, History, Line, Payoffs, Section
from tournaments.populations.pbt.config import PbtConfig
from tournaments.populations.pbt.lineage import Copy, Phase, best_of, in_order, name_of, schedule
from tournaments.populations.trained import trained_by
from tournaments.populations.training import MEMBERS
from tournaments.reports.pairs import written


class PbtHistory(History[PbtConfig]):
    """The fitness of members by round, who copied whom, and the settings with which they learned."""

    about: ClassVar[str] = (
        "Population-based training (Jaderberg et al. 2017) by truncation selection: after so many steps all members "
        "play the same seeds against the anchors, or against each other. Each of the lowest fifth meets one of the "
        "highest fifth, and copies its learner if the 95 % interval of their paired difference, for as many pairs of "
        "members as there are, excludes 0. Then it explores: each setting is drawn again with probability 1/4, else "
        "multiplied or divided by 1.2. A member whose difference is not clear explores, and copies nobody."
    )

    begins: ClassVar[str] = "the first settings are drawn"

    @classmethod
    def read(cls, folder: Path, config: PbtConfig) -> "PbtHistory":
        return cls(folder, config, read_members(folder), findings(folder))

    @cached_property
    def steps(self) -> int:
        """How many steps each member trains."""
        return trained_by(self.folder).steps

    @property
    def rounds(self) -> int:
        return -(-self.steps // self.config.ready)

    @property
    def game(self) -> str:
        return trained_by(self.folder).game

    @property
    def titles(self) -> Sequence[str]:
        return ("fitness", *(name.partition(".")[2] for name in self.config.vary), "copied last")

    @property
    def descent_columns(self) -> Sequence[str]:
        return "steps", "member", *(name.partition(".")[2] for name in self.config.vary)

    @property
    def copies(self) -> list[Copy]:
        """All copies so far, and the members that explored alone, in order."""
        decisions = filter(None, (self.decision(number) for number in range(len(self.found) + 1)))
        return [Copy.from_json(copy) for decision in decisions for copy in decision["copies"]]

    @property
    def copied(self) -> int:
        """How often a member has copied another one."""
        return sum(not copy.alone for copy in self.copies)

    @property
    def best(self) -> str | None:
        """The id of the member of the highest fitness; None before any was scored."""
        return best_of(self.found[-1]) if self.found and self.found[-1]["members"] else None

    @property
    def more(self) -> dict[str, Any]:
        return {"best": self.best, "copies": [copy.to_json() for copy in self.copies]}

    @property
    def headline(self) -> str | None:
        if self.best is None:
            return None
        best = self.found[-1]["members"][self.best]
        return (
            f"the best: {self.best}, fitness {written(best['fitness'], best['interval'])} with "
            f"{in_order(best['settings'])}; {self.copied} copies so far"
        )

    def _does(self, learners: Mapping[str, tuple[int, int]]) -> str:
        steps, until = zip(*learners.values(), strict=True)
        if min(steps) >= until[0]:
            return "the members are scored"
        return (
            f"the members train: {sum(at >= until[0] for at in steps)} of {len(steps)} have reached step {until[0]:,}"
        )

    @property
    def plays_as(self) -> str | None:
        if self.best is None:
            return None
        return f"its best member plays as: {self.folder / self.found[-1]['members'][self.best]['checkpoint']}"

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        learner = (trained_by(self.folder).algorithm["name"], "learner")
        if self.best is None:
            return [learner]
        best = self.found[-1]["members"][self.best]
        return [
            (self.best, "the best member"),
            (written(best["fitness"], best["interval"]), "its fitness"),
            (str(self.copied), "copies"),
            learner,
        ]

    @property
    def warnings(self) -> Iterator[str]:
        if self.over and not self.copied:
            yield (
                "Nobody copied, since no difference was clear: more seeds, or more steps between two rounds (ready), "
                "would tell more."
            )

    @property
    def sections(self) -> Sequence[Section]:
        lines = [
            Line(name, [None if member is None else member["fitness"] for member in self._by_round(name)])
            for name in self._names
        ]
        return [
            Section("Fitness", f"Mean return over seats and seeds against {self.config.met}, by round.", lines),
            *(self._varied(setting) for setting in self.config.vary),
            Section(
                "Copies",
                "Who copied whom, by how much the one it met was worth more on the seeds of the round, and what it "
                "goes on with. Where that was not clear, it copied nobody, and explored its own settings.",
                columns=("round", "child", "parent", "difference", "before", "after"),
                rows=[
                    (
                        str(copy.round),
                        copy.child,
                        NOTHING if copy.alone else copy.parent,
                        written(copy.difference.mean, copy.difference.interval),
                        in_order(copy.before),
                        in_order(copy.after),
                    )
                    for copy in self.copies
                ],
            ),
        ]

    def _varied(self, setting: str) -> Section:
        """Return the part of the report about a setting, in logarithms where it is explored so."""
        logs = self.config.vary[setting].log is not None
        lines = []
        for name in self._names:
            values: list[Any] = [member and member["settings"][setting] for member in self._by_round(name)]
            numbers = [float(value) if isinstance(value, int | float) else None for value in values]
            lines.append(Line(name, [value if value is None or not logs else log10(value) for value in numbers]))
        scale = ", as its logarithm to base 10" if logs else ""
        return Section(setting, f"What each member learned with until the round{scale}.", lines)

    @property
    def _names(self) -> list[str]:
        return [member.id for member in self.members]

    def _by_round(self, name: str) -> list[Mapping[str, Any] | None]:
        """Return what each round found of a member; None of a round without scores."""
        return [found["members"].get(name) for found in self.found]

    def table(self, number: int) -> Payoffs | None:
        return None

    def row(self, member: Member) -> Sequence[str]:
        worth = self.worth(member)
        last = worth["copied"]
        copied = f"{last['parent']}, round {last['round']}" if last else NOTHING
        if worth["fitness"] is None:
            return [NOTHING] * (len(self.titles) - 1) + [copied]
        settings = [in_order({name: value}).partition(": ")[2] for name, value in worth["settings"].items()]
        return [written(worth["fitness"], worth["interval"]), *settings, copied]

    def worth(self, member: Member) -> dict[str, Any]:
        found = self.found[-1]["members"].get(member.id) if self.found else None
        last = [copy for copy in self.copies if copy.child == member.id and not copy.alone][-1:]
        return {name: found and found[name] for name in ("fitness", "interval", "settings")} | {
            "copied": {"parent": last[0].parent, "round": last[0].round} if last else None
        }

    def made_by(self, member: Member) -> str:
        return f"{trained_by(self.folder).algorithm['name']}, {member.step or 0:,} steps"

    def origin(self, member: Member) -> dict[str, Any]:
        phases = [
            {"begin": phase.begin, "end": phase.end, "member": phase.member, "settings": dict(phase.settings)}
            for phase in self.schedule(member)
        ]
        return super().origin(member) | {"schedule": phases}

    def descent(self, member: Member) -> Sequence[Sequence[str]]:
        return [
            [
                f"{phase.begin:,} to {phase.end:,}",
                phase.member,
                *(in_order({name: value}).partition(": ")[2] for name, value in phase.settings.items()),
            ]
            for phase in self.schedule(member)
        ]

    def schedule(self, member: Member) -> list[Phase]:
        """Return the phases in which a member's learner came to be, in order."""
        begun = Round(self.folder, 0).read(DECISION)
        first = {name: said["settings"] for name, said in begun["members"].items()}
        return schedule(
            member.id, first, self.copies, self.config.ready, min(self.steps, member.round * self.config.ready)
        )

    def replay(self, member: Member, folder: str) -> list[str]:
        """Return the commands that train a member again, in order, each a round's run below a folder."""
        commands = []
        ready = self.config.ready
        for phase in self.schedule(member):
            for number in range(phase.begin // ready, -(-phase.end // ready)):
                run = self.folder / MEMBERS / phase.member / f"{number:04d}"
                if not run.exists():  # a member that has had all its steps rests
                    continue
                parent = [f"--set parent={shlex.quote(f'{folder}/{number - 1:04d}')}"] if number else []
                words = [
                    f"marl train {shlex.quote(str(run / 'config.yaml'))}",
                    *parent,
                    f"--until {(number + 1) * ready}",
                    f"--run-dir {shlex.quote(f'{folder}/{number:04d}')}",
                ]
                commands.append(" ".join(words))
        return commands

    def met(self, member: Member) -> Sequence[tuple[str, Sequence[float]]]:
        return []

    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        raise UserError(
            f"the games of members of method: pbt are not kept, they play against {self.config.met} for their fitness, "
            "which `marl population status` has"
        )

    def _training(self, number: int) -> dict[str, tuple[int, int]]:
        until = min(self.steps, (number + 1) * self.config.ready)
        names = [name_of(place) for place in range(self.config.size)]
        return {name: (logged_step(self.folder / MEMBERS / name / f"{number:04d}"), until) for name in names}
