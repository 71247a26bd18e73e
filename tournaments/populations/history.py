"""What a population has done so far, read from its files: for its status, its report, and who descends from whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError, nearest
from marl.base.files import absent
from marl.base.schema import load
from marl.training.runlog import logged_step
from tournaments.pairs import written
from tournaments.populations.files import DECISION, END, PAYOFF, Member, Round, opponents_of, read_members, solutions
from tournaments.populations.psro.config import PsroConfig
from tournaments.populations.psro.responses import name_of, responses_of, run_of, until_of
from tournaments.populations.psro.solution import Gain


def with_error(mean: float, error: float) -> str:
    """Return a mean with its 95 % interval as text; without one where it is exact."""
    return written(mean, 1.96 * error if error else None)


@dataclass(frozen=True)
class History:
    """A population's members and the rounds that are over, in order."""

    folder: Path
    config: PsroConfig
    members: Sequence[Member]
    found: Sequence[Mapping[str, Any]]  # meta.json of each round

    @classmethod
    def of(cls, folder: Path) -> "History":
        """Read a population's folder; raises UserError if it is none that advances in rounds."""
        if not (folder / "rounds").is_dir():
            what = absent(folder, "`marl population` makes one") if not folder.exists() else "has no rounds"
            raise UserError(f"expected the folder of a population whose members meet, got '{folder}', which {what}")
        config = load(PsroConfig, folder / "config.yaml", record=True)
        return cls(folder, config, read_members(folder), solutions(folder))

    @property
    def over(self) -> bool:
        """Whether no round is to come."""
        last = len(self.found) - 1
        return last >= self.config.rounds or Round(self.folder, last).read(END) is not None

    @cached_property
    def name(self) -> Mapping[str, str]:
        """The members' ids by digest."""
        return {member.digest: member.id for member in reversed(self.members)}  # a copy by its first id

    def payoff(self, number: int) -> Any:
        """Return the payoff table of a round."""
        return Round(self.folder, number).read(PAYOFF)

    def decision(self, number: int) -> Any:
        """Return whom the response of a round meets; None where that is not decided."""
        return Round(self.folder, number).read(DECISION)

    @property
    def doing(self) -> str:
        """What is done next, in words."""
        number = len(self.found)
        if self.over:
            return "it is done"
        if number == 0:
            return "the first members meet"
        learners = self._training(number - 1)
        if all(steps >= until for steps, until in learners.values()):
            return f"{' and '.join(learners)} {'meets' if len(learners) == 1 else 'meet'} the others"
        return "; ".join(f"{name} trains: step {steps:,} of {until:,}" for name, (steps, until) in learners.items())

    def _training(self, number: int) -> dict[str, tuple[int, int]]:
        """Return the step of each response that trains in a round, and the step at which its round ends."""
        config, joined = self.config, {member.id for member in self.members}
        found = {}
        for response in responses_of(number, config):
            name, until = name_of(response), until_of(response, number, config)
            done = name in joined and number + 1 - response == config.pipeline
            found[name] = (until if done else logged_step(self.folder / run_of(response, number, config)), until)
        return found

    def member(self, text: str) -> Member:
        """Return the member with an id, or with a digest that begins so; raises UserError for none or several."""
        found = [each for each in self.members if each.id == text or (text and each.digest.startswith(text))]
        if len(found) == 1:
            return found[0]
        ids = [each.id for each in self.members]
        what = f"which {len(found)} have" if found else f"which none has{nearest(text, ids) or '; `status` lists them'}"
        raise UserError(f"expected a member's id or the beginning of its digest, got '{text}', {what}")

    def gain(self, member: Member) -> Gain | None:
        """Return what a response gained over the mixture that it answers; None where that is not known."""
        written = self.found[member.round]["gain"] if 0 < member.round < len(self.found) else None
        return Gain(np.array(written["mean"]), np.array(written["error"])) if written else None

    def origin(self, member: Member) -> dict[str, Any]:
        """Return whom a member was trained against, with the weights by its own seat, as JSON data."""
        met = opponents_of(self.decision(member.round - 1), member.id) if member.round else {}
        return {
            "id": member.id,
            "digest": member.digest,
            "role": member.role,
            "round": member.round,
            "reference": member.reference,
            "opponents": [{"id": self.name[digest], "weights": weights} for digest, weights in met.items()],
        }

    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        """Return what a member was paid against another, by its seat, in the newest table, as JSON data."""
        newest = self.payoff(len(self.found) - 1) if self.found else {"agents": []}
        if not {member.digest, other.digest} <= set(newest["agents"]):
            return []
        i, j = (newest["agents"].index(each.digest) for each in (member, other))
        names = ("payoff", "error", "games")
        return [{"seat": seat} | {name: newest[name][seat][i][j] for name in names} for seat in range(2)]

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON data."""
        newest = self.found[-1] if self.found else {}
        return {
            "method": self.config.method,
            "game": self.config.game,
            "rounds": len(self.found),
            "iterations": self.config.rounds,
            "next": self.doing,
            "nash_conv": newest.get("nash_conv"),
            "members": [
                {
                    "id": member.id,
                    "role": member.role,
                    "round": member.round,
                    "reference": member.reference,
                    "digest": member.digest,
                    "step": member.step,
                    "weights": newest.get("weights", {}).get(member.digest, [0.0, 0.0]),
                    "gain": gain.to_json() if (gain := self.gain(member)) else None,
                }
                for member in self.members
            ],
        }
