"""What trained responses gain against agents of a tournament: the file beside its store, and the report's section."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from tournaments.ratings.cross_play import Partnerships, best_response_proximity
from tournaments.reports.pairs import MOST_SHOWN, written
from tournaments.reports.sections import Section, Table

FOLDER, RESULT = "responses", "responses.json"
Search = Mapping[str, Any]  # what a search for a response found, as JSON data
TITLES = ("agent", "earns with itself", "its response earns", "gain", "gain by seat", "trained by")


def responses_section(folder: Path, partnerships: Partnerships | None = None) -> list[Section]:
    """Return a section with what responses gain, which a tournament's folder has; none where none was trained.

    With `partnerships`, of a team game of two, it says how near each agent is to the best partner of those that were
    answered. Raises UserError for a file that `marl tournament best-response` does not write.
    """
    found = searches_in(folder)
    if not found:
        return []
    text = (
        "Responses were trained against each agent, which held all other seats. The gain is what the best of them is "
        "paid a game more than the agent is among copies of itself. The best response of all gains at least as much, "
        "so each gain is a lower bound on how far the agent can be exploited; more training may find more. Which "
        "response plays a seat was chosen by games on other seeds."
    )
    if any(len(searches) > 1 for searches in found.values()):
        text += (
            " Of several searches the one with the largest gain is shown; that it was chosen for this is in no "
            f"interval. {FOLDER}/{RESULT} has all of them."
        )
    try:
        bounds = [bound(searches) for searches in found.values()]
        tables = [Table(list(TITLES), [row_of(each) for each in bounds])]
        tables += [] if partnerships is None else [_proximity(bounds, partnerships)]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder) from error
    return [Section("trained-responses", "Trained best responses", [text], tables)]


def _proximity(bounds: Iterable[Search], partnerships: Partnerships) -> Table:
    """Return BR-Prox of each agent with those that were answered, the agent itself left out."""
    earned = {str(each["agent"]): float(each["earned"]["mean"]) for each in bounds}
    answered = [agent for agent in partnerships.agents if agent in earned]
    proximity = best_response_proximity(
        partnerships.returns, np.array([earned.get(name, np.nan) for name in partnerships.agents])
    )
    rows = []
    for k, agent in enumerate(partnerships.agents[:MOST_SHOWN]):
        others = [name for name in answered if name != agent]
        shares = [float(proximity[k, partnerships.agents.index(name)]) for name in others]
        known = [(share, name) for share, name in zip(shares, others, strict=True) if np.isfinite(share)]
        least = min(known, default=None)
        rows.append(
            [
                agent,
                written(float(np.mean([share for share, _ in known]))) if known else "—",
                f"{written(least[0])} ({least[1]})" if least else "—",
            ]
        )
    caption = (
        "BR-Prox: what an agent earns with a partner, as a share of what the partner's trained response earns with it; "
        "1 is as good a partner as the response. A response that falls short of the best makes it larger."
    )
    return Table(["agent", "mean BR-Prox", "least, and with whom"], rows, caption)


def searches_in(folder: Path) -> dict[str, list[Search]]:
    """Return what the searches for responses found, by the digest of the agent; raises UserError for a damaged file.

    A file of an earlier version has one search for each agent.
    """
    try:
        found = json.loads((folder / FOLDER / RESULT).read_text(encoding="utf-8"))["agents"]
        listed: dict[str, list[Search]] = {
            agent: [one] if isinstance(one, dict) else one for agent, one in found.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(folder) from error
    if not all(_is_list_of_searches(searches) for searches in listed.values()):
        raise _damaged(folder)
    return listed


def _is_list_of_searches(searches: Any) -> bool:
    return isinstance(searches, list) and bool(searches) and all(_has_gain(one) for one in searches)


def _has_gain(search: Any) -> bool:
    gain = search.get("gain") if isinstance(search, dict) else None
    return isinstance(gain, dict) and isinstance(gain.get("mean"), int | float)


def bound(searches: Sequence[Search]) -> Search:
    """Return the search that found the largest gain, the first of those that did."""
    return max(searches, key=lambda search: float(search["gain"]["mean"]))


def with_search(searches: Sequence[Search], found: Search) -> list[Search]:
    """Return the searches for responses to an agent with one more at the end, in place of one that it repeats."""
    return [*(search for search in searches if _names(search) != _names(found)), found]


def _names(search: Search) -> tuple[Any, ...] | None:
    """Return what tells searches apart: their responses and games; None for one of a version that kept neither."""
    if "responses" not in search:
        return None
    return (*(response["digest"] for response in search["responses"]), search["seeds"])


def row_of(found: Search) -> list[str]:
    """Return the cells under TITLES for what a search found."""
    by_seat = ", ".join(written(seat["gain"]["mean"], seat["gain"]["ci95"]) for seat in found["seats"])
    numbers = (written(found[name]["mean"], found[name]["ci95"]) for name in ("alone", "earned", "gain"))
    trained = f"{found['algorithm']}, {found['trained']} x {found['steps']:,} steps"
    return [str(found["agent"]), *numbers, by_seat, trained]


def _damaged(folder: Path) -> UserError:
    return UserError(
        f"expected what responses gain in '{folder / FOLDER / RESULT}', got a file that is damaged; delete it, and run "
        "`marl tournament best-response` again"
    )
