"""A ladder: challengers climb against their neighbours until they do not win."""

from typing import Literal

from games.errors import UserError
from marl.base.schema import Frozen, References
from tournaments.schedules.points import Points
from tournaments.schedules.rounds import Decisions, Entry, Matches, Outcome, Seeds


class LadderConfig(Frozen):
    """The order of `agents`, the best first, into which challengers climb one after another: `seeds` for each match.

    A challenger begins at the bottom and takes the place above it as long as it wins the match; a tie is no win.
    """

    kind: Literal["ladder"] = "ladder"
    challengers: References = ()  # of `agents`; all but the first by default

    def schedule(self, entry: Entry) -> "Ladder":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_two(self.kind)
        found = entry.find("challengers", self.challengers) if self.challengers else []
        challengers = tuple(found or entry.agents[1:])
        if len(entry.agents) == len(challengers) or not challengers:
            raise UserError("expected at least one agent on the ladder and one challenger; list more agents")
        return Ladder(entry, challengers)


class Ladder:
    """The rounds of a ladder: one match each."""

    exact = False

    def __init__(self, entry: Entry, challengers: tuple[str, ...]) -> None:
        self._entry, self._challengers = entry, challengers
        standing = len(entry.agents) - len(challengers)
        self.most = 2 * entry.seeds * sum(range(standing, len(entry.agents)))

    def rounds(self) -> Decisions:
        names, seeds = self._entry.names, Seeds()
        order = [agent for agent in self._entry.agents if agent not in self._challengers]
        climbed: list[list[str]] = []
        for challenger in self._challengers:
            place = len(order)
            while place:
                above = order[place - 1]
                read = yield Matches(self._entry.rules, [seeds.next((challenger, above), self._entry.seeds)])
                score = Points.of(read()).score(challenger, above)
                climbed.append(
                    [names[challenger], names[above], f"{100 * score:.1f} %", "yes" if score > 0.5 else "no"]
                )
                if score <= 0.5:
                    break
                place -= 1
            order.insert(place, challenger)
        ladder = [names[agent] for agent in order]
        return Outcome(
            f"Ladder, the best first: {', '.join(ladder)}",
            titles=("challenger", "agent", "score", "climbs"),
            rows=climbed,
            facts={"ladder": ladder, "matches": climbed},
        )
