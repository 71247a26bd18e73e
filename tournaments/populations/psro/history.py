"""What policy-space response oracles have done so far."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from marl.training.runlog import logged_step
from tournaments.populations.files import Member, opponents_of
from tournaments.populations.history import NOTHING, History, Line, Payoffs, Section, Shares, with_error
from tournaments.populations.psro.config import PsroConfig
from tournaments.populations.psro.responses import name_of, responses_of, run_of, until_of
from tournaments.populations.psro.solution import Gain

SEATS = ("first", "second")


class PsroHistory(History[PsroConfig]):
    """The mixtures by round, what they are worth, and what the responses to them gained."""

    about: ClassVar[str] = (
        "Policy-space response oracles (Lanctot et al. 2017): in each round the payoff table of all members is solved "
        "seat by seat, and a response is trained in the first seat against the second seat's mixture, and in the "
        "second against the first's. A member's gain is what it is paid more than the mixture that it answers, ± 95 % "
        "by seeds of games. A trained response shows that the mixture can be exploited by at least its gains; a best "
        "response would show how much exactly."
    )
    columns: ClassVar[Sequence[str]] = ("σ first", "σ second", "gain first", "gain second")
    met_columns: ClassVar[Sequence[str]] = ("answers", "in seat 0", "in seat 1")

    @property
    def more(self) -> dict[str, Any]:
        return {"nash_conv": self.found[-1]["nash_conv"] if self.found else None}

    @property
    def headline(self) -> str | None:
        if not self.found:
            return None
        newest = self.found[-1]
        worth = f"value {with_error(newest['values'][0], newest['error'], newest.get('seeds'))} to the first seat"
        exploited = "" if newest["nash_conv"] is None else f"; NashConv {newest['nash_conv']:.4f}"
        return f"the mixture: {worth}{exploited}"

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        known = self.more["nash_conv"]
        exploited = [] if known is None else [(f"{known:.4f}", "NashConv of the newest mixture")]
        return [*exploited, (self.config.learner["name"], "learner"), (self.config.solver, "solver")]

    @property
    def warnings(self) -> Iterator[str]:
        idle = [member.id for member in self.members if (gain := self.gain(member)) and not gain.clear]
        if idle:
            yield (
                f"Responses that gained less than two standard errors in both seats: {', '.join(idle)}. Either the "
                "mixture can hardly be exploited, or the learner did not find how: a longer response, or another "
                "learner, would tell."
            )

    @property
    def sections(self) -> Sequence[Section]:
        return [
            Section(
                "Exploitability",
                "NashConv: what best responses to the mixture would gain, both seats together. Exploitability is half "
                "of it.",
                self._exploitability(),
            ),
            Section("Value", "What the mixture is paid against itself, by seat.", self._values()),
            Section(
                "The mixture by round",
                "Each row is a round, each column a member in the order in which they joined; the darker, the more "
                "weight. A cell tells its member and weight where the pointer rests on it.",
                shares=[self._weights(seat) for seat in range(2)],
            ),
        ]

    def _exploitability(self) -> list[Line]:
        """Return the NashConv of the mixtures, exact where known, the best so far, and what responses gained."""
        exact = [found["nash_conv"] for found in self.found]
        best = np.minimum.accumulate([np.inf if value is None else value for value in exact]).tolist()
        gains = [
            None if found["gain"] is None else sum(max(0.0, gain) for gain in found["gain"]["mean"])
            for found in self.found
        ]
        at_least = [*gains[1:], None]  # a response answers the mixture of the round before
        lines = [Line("of the round's mixture, exact", exact), Line("of the best mixture so far, exact", best)]
        known = lines if any(value is not None for value in exact) else []
        return [*known, Line("at least: what the next response gained", at_least)]

    def _values(self) -> list[Line]:
        return [
            Line(f"value of the mixture to the {which} seat", [found["values"][seat] for found in self.found])
            for seat, which in enumerate(SEATS)
        ]

    def _weights(self, seat: int) -> Shares:
        """Return the weight of each member in each round."""
        rows = [
            [found["weights"].get(member.digest, (0.0, 0.0))[seat] for member in self.members] for found in self.found
        ]
        return Shares(f"{SEATS[seat]} seat", [member.id for member in self.members], rows)

    def table(self, number: int) -> Payoffs:
        table = self.payoff(number)
        return Payoffs(number, [self.name.get(each, each[:8]) for each in table["agents"]], table["payoff"][0])

    def gain(self, member: Member) -> Gain | None:
        """Return what a response gained over the mixture that it answers; None where that is not known."""
        written = self.found[member.round]["gain"] if 0 < member.round < len(self.found) else None
        return Gain.from_json(written) if written else None

    def row(self, member: Member) -> Sequence[str]:
        weights = [f"{weight:.3f}" if weight else "0" for weight in self.worth(member)["weights"]]
        gain = self.gain(member)
        return [*weights, *([NOTHING] * 2 if gain is None else [with_error(*seat) for seat in gain.seats])]

    def worth(self, member: Member) -> dict[str, Any]:
        weights = self.found[-1]["weights"] if self.found else {}
        gain = self.gain(member)
        return {"weights": weights.get(member.digest, [0.0, 0.0]), "gain": gain.to_json() if gain else None}

    def made_by(self, member: Member) -> str:
        return member.reference or self.config.learner["name"]

    def met(self, member: Member) -> Sequence[tuple[str, Sequence[float]]]:
        return list(opponents_of(self.decision(member.round - 1), member.id).items()) if member.round else []

    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        return self._cells(self.payoff(len(self.found) - 1), member, other) if self.found else []

    def _training(self, number: int) -> dict[str, tuple[int, int]]:
        config, joined = self.config, {member.id for member in self.members}
        found = {}
        for response in responses_of(number, config):
            name, until = name_of(response), until_of(response, number, config)
            done = name in joined and number + 1 - response == config.pipeline
            found[name] = (until if done else logged_step(self.folder / run_of(response, number, config)), until)
        return found
