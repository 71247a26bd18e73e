"""A gauntlet: some focal agents against all others, which do not meet each other."""

from itertools import combinations, combinations_with_replacement
from typing import Literal

from pydantic import Field

from games.errors import UserError
from marl.base.schema import Frozen, References
from tournaments.schedules.rounds import Entry, Match, Matches, OneRound


class GauntletConfig(Frozen):
    """Each focal agent against the others: `seeds` for each pairing.

    As in a round robin, it meets itself, too, in two-player games that are not zero-sum. A table of N players has one
    focal agent and N − 1 others; copies of these fill the seats where they are too few.
    """

    kind: Literal["gauntlet"] = "gauntlet"
    focal: References = Field(min_length=1)  # of `agents`

    def schedule(self, entry: Entry) -> OneRound:
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        focal = sorted(entry.find("focal", self.focal))
        others = sorted(set(entry.agents).difference(focal))
        if not others:
            raise UserError(
                "expected agents that are not focal, got none; add the opponents of the gauntlet to 'agents'"
            )
        free = entry.rules.sides - 1
        companies = combinations(others, free) if len(others) >= free else combinations_with_replacement(others, free)
        pairings = [tuple(sorted((one, *company))) for company in companies for one in focal]
        if entry.repeats:
            pairings += [(one, one) for one in focal]
        return OneRound(Matches(entry.rules, [Match(pairing, range(entry.seeds)) for pairing in pairings]))
