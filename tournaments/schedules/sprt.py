"""A match of two agents that ends as soon as a sequential probability ratio test decides it."""

from dataclasses import asdict
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from games.errors import UserError
from marl.base.schema import Frozen, Size
from tournaments.ratings import sprt
from tournaments.schedules.points import Points
from tournaments.schedules.rounds import Decisions, Entry, Matches, Outcome, Seeds

Error = Annotated[float, Field(gt=0, lt=0.5)]
Elo = Annotated[float, Field(ge=-2000, le=2000)]


class SprtConfig(Frozen):
    """The first of two agents against the second, pairs of games on at most `seeds` seeds, until the test decides."""

    kind: Literal["sprt"] = "sprt"
    elo0: Elo = 0.0  # H0: the first agent is better by this
    elo1: Elo = 10.0  # H1: it is better by that
    alpha: Error = 0.05  # how often H1 may be accepted where H0 is true
    beta: Error = 0.05  # how often H0 may be accepted where H1 is true
    elo: Literal["logistic", "normalized"] = "logistic"
    round: Size = 16  # seeds that are played before the test is asked again

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.elo0 < self.elo1:
            raise ValueError(f"expected elo0 below elo1, got {self.elo0:g} and {self.elo1:g}")
        return self

    def schedule(self, entry: Entry) -> "SprtMatch":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_two(self.kind)
        if len(entry.agents) != 2:
            raise UserError(f"expected 2 agents for a match, got {len(entry.agents)}; name two")
        return SprtMatch(self, entry)


class SprtMatch:
    """The rounds of a match."""

    exact = False

    def __init__(self, config: SprtConfig, entry: Entry) -> None:
        self._config, self._entry = config, entry
        self.most = 2 * entry.seeds

    def rounds(self) -> Decisions:
        (one, other), config, seeds, points = self._entry.agents, self._config, Seeds(), Points()
        ratio, decision = 0.0, None
        while decision is None and seeds.met((one, other)) < self._entry.seeds:
            more = min(config.round, self._entry.seeds - seeds.met((one, other)))
            read = yield Matches(self._entry.rules, [seeds.next((one, other), more)])
            points.add(read())
            ratio = sprt.llr(points.counts(one, other), config.elo0, config.elo1, config.elo)
            decision = sprt.decision(ratio, config.alpha, config.beta)
        return self._outcome(points.counts(one, other), ratio, decision)

    def _outcome(self, counts: tuple[int, ...], ratio: float, decision: sprt.Decision | None) -> Outcome:
        config, (one, other) = self._config, (self._entry.names[agent] for agent in self._entry.agents)
        low, high = sprt.bounds(config.alpha, config.beta)
        facts = {"agents": [one, other], "pentanomial": list(counts), "llr": round(ratio, 6), "decision": decision}
        if not sum(counts):
            return Outcome(f"{one} against {other}: no pair of games has a result", False, facts=facts)
        found = sprt.match(counts)
        facts |= {name: round(value, 6) if isfinite(value) else None for name, value in asdict(found).items()}
        said = {"H0": f"H0 (Elo {config.elo0:g}) is accepted", "H1": f"H1 (Elo {config.elo1:g}) is accepted"}
        verdict = said[decision] if decision else f"undecided after all {self._entry.seeds} seeds; allow more seeds"
        text = (
            f"{one} against {other}: {_known(found.elo, found.elo_ci95)} Elo in {sum(counts)} pairs of games; "
            f"LLR {ratio:.2f} of ({low:.2f}, {high:.2f}), {verdict}"
        )
        row = [*map(str, counts), f"{100 * found.score:.1f} %", _known(found.nelo, found.nelo_ci95)]
        return Outcome(text, decision is not None, ("0", "¼", "½", "¾", "1", "score", "nElo"), [row], facts)


def _known(elo: float, ci95: float) -> str:
    """Return an Elo and its interval; a dash where few games leave it open on one side."""
    return f"{elo:+z.1f} ± " + (f"{ci95:.1f}" if isfinite(ci95) else "—")
