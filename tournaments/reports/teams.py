"""Cross-play in the report of a cooperative game of two players: who plays well with whom."""

from collections.abc import Iterator

import numpy as np

from games.arrays import Floats
from tournaments.ratings.cross_play import Family, Meeting, Partnerships
from tournaments.reports.pairs import MOST_SHOWN, written
from tournaments.reports.sections import Section, Table
from tournaments.reports.summary import Summary, listed


def team_lines(summary: Summary) -> Iterator[str]:
    """Yield the lines of a terminal: self-play, cross-play and gap of each family of several agents."""
    for family in summary.partnerships.families if summary.partnerships else ():
        if family.found:
            _, _, self_play, cross_play, gap = _family_row(family)
            yield f"{family.name}: self-play {self_play}, cross-play {cross_play}, gap {gap} (over training seeds)."


def team_section(summary: Summary) -> Iterator[Section]:
    """Yield the section of a report; none where no teams of two were formed."""
    found = summary.partnerships
    if found is None:
        return
    meetings = [_meeting_row(meeting) for meeting in found.meetings if meeting.families[0] != meeting.families[1]]
    tables = [
        Table(["family", "agents", "self-play", "cross-play", "gap"], [_family_row(one) for one in found.families]),
        Table(["agent", "worst partner", "team return", "convention"], _agent_rows(found), _conventions(found)),
    ]
    if meetings:
        titles = ["families", "cross-play", "teams"]
        tables.insert(1, Table(titles, meetings[:MOST_SHOWN], "Families with each other, over both seatings."))
    yield Section(
        "cross-play",
        "Cross-play",
        [
            "The team's return is the mean of what both players are paid. Agents whose references differ by the number "
            "of a training seed alone (seed-0, seed-1, ...) are a family; cross-play in a family is between its agents."
        ],
        tables,
        [
            "In brackets: 95 % bootstrap over training seeds, since more games of the same agents say nothing of "
            "agents of other seeds. A family of one or two agents has no interval."
        ],
    )


def _family_row(family: Family) -> list[str]:
    if family.found is None:
        return [family.name, "1", written(family.self_play), "—", "—"]
    numbers = (_bounded(values) for values in (family.found.self_play, family.found.cross_play, family.found.gap))
    return [family.name, str(len(family.agents)), *numbers]


def _meeting_row(meeting: Meeting) -> list[str]:
    names = " – ".join(meeting.families)
    return [names, _bounded(np.array([meeting.mean, meeting.low, meeting.high])), str(meeting.teams)]


def _agent_rows(found: Partnerships) -> list[list[str]]:
    rows = zip(found.agents, found.worst, found.convention.tolist(), strict=True)
    return [[agent, partner, written(paid), str(number + 1)] for agent, (partner, paid), number in rows][:MOST_SHOWN]


def _conventions(found: Partnerships) -> str:
    """Return a sentence on who shares a convention."""
    groups = [
        [agent for agent, own in zip(found.agents, found.convention.tolist(), strict=True) if own == number]
        for number in range(int(found.convention.max()) + 1)
    ]
    if len(groups) == 1:
        return "All agents share one convention: nobody loses much by playing with another."
    shown = "; ".join(f"{number}: {listed(group, 4)}" for number, group in enumerate(groups[:8], start=1))
    return (
        f"{len(groups)} conventions, by average linkage of what two agents lose together, cut at half of the largest "
        f"loss: {shown}{'; ...' if len(groups) > 8 else ''}."
    )


def _bounded(numbers: Floats) -> str:
    mean, low, high = (written(number) for number in numbers)
    return mean if np.isnan(numbers[1]) else f"{mean} ({low} to {high})"
