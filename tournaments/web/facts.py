"""The facts of a tournament's page: what its report says, as parts of a page, and what lists and links need.

They are made where no request waits, perhaps in another process, and kept as JSON.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from games.text import shown
from tournaments.records.played import TERMINATIONS
from tournaments.reports.page import environment
from tournaments.reports.pairs import SHADES
from tournaments.reports.report import page_facts, sections_of
from tournaments.reports.summary import Summary, summarize
from tournaments.web.places import Mark
from tournaments.web.stores import opened, store_mark

LEADERS = 5  # that a list names
PARTS = Path(__file__).with_name("pages")


class Reader:
    """What a worker process does for the index: it leaves the processors to those who wait for a page."""

    def __init__(self) -> None:
        os.nice(10)

    def facts(self, folder: Path, name: str) -> tuple[Mark, dict[str, Any]]:
        """Return the mark and the facts of a store."""
        return facts_of_store(folder, name)


def facts_of_store(folder: Path, name: str) -> tuple[Mark, dict[str, Any]]:
    """Return the mark of a store and its facts as JSON data; `name` is that of its page. Raises UserError."""
    began = time.thread_time()
    mark = store_mark(folder)
    with opened(folder) as store:
        summary = summarize(store)
        ids = {label: id for id, label in store.labels().items()}
        games, ended = len(store), store.terminations()
    sections = sections_of(summary, folder)
    facts = page_facts(summary, sections, lambda agent, other: pairing_link(ids, agent, other))
    template = environment(PARTS).get_template("board_parts.j2")
    return mark, {
        "path": str(folder),
        "name": name,
        "title": summary.title,
        "game": summary.game,
        "players": summary.num_players,
        "agents": len(summary.agents),
        "games": games,
        "ended": {kind: ended[kind] for kind in TERMINATIONS if kind in ended},
        "leaders": leaders(summary),
        "ids": ids,
        "warnings": len(summary.warnings),
        "body": template.render(**facts, shades=SHADES, linked=summary.sides == 2),
        "seconds": time.thread_time() - began,
    }


def pairing_link(ids: Mapping[str, str], agent: str, other: str) -> str:
    """Return a link, relative to a tournament's page, to the games of two agents."""
    return "?" + urlencode([("agent", ids[agent]), ("agent", ids[other])])


def leaders(summary: Summary) -> list[dict[str, Any]]:
    """Return the first agents of the leaderboard with what they are worth, and its interval."""
    if summary.ratings:
        rated = [(r.agent, f"{r.elo:z.0f}", r.ci95) for r in summary.ratings.ratings[:LEADERS]]
        return [{"agent": shown(agent), "worth": worth, "ci95": ci95, "unit": "Elo"} for agent, worth, ci95 in rated]
    found = [summary.mean_payoff[agent] for agent in summary.agents[:LEADERS] if agent in summary.mean_payoff]
    return [
        {"agent": shown(p.agent), "worth": "—" if p.mean is None else f"{p.mean:.3g}", "ci95": p.ci95, "unit": "payoff"}
        for p in found
    ]
