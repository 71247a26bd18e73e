"""What trained responses gain against agents of a tournament: the file beside its store, and the report's section."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from games.errors import UserError
from tournaments.reports.pairs import written
from tournaments.reports.sections import Section, Table

FOLDER, RESULT = "responses", "responses.json"
TITLES = ("agent", "earns with itself", "its response earns", "gain", "gain by seat", "trained by")


def responses_section(folder: Path) -> list[Section]:
    """Return a section with what responses gain, which a tournament's folder has; none where none was trained.

    Raises UserError for a file that `marl tournament best-response` does not write.
    """
    found = responses_in(folder)
    if not found:
        return []
    text = (
        "Responses were trained against each agent, which held all other seats. The gain is what the best of them is "
        "paid a game more than the agent is among copies of itself. The best response of all gains at least as much, "
        "so each gain is a lower bound on how far the agent can be exploited; more training may find more. Which "
        "response plays a seat was chosen by games on other seeds."
    )
    try:
        rows = [row_of(each) for each in found.values()]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder) from error
    return [Section("trained-responses", "Trained best responses", [text], [Table(list(TITLES), rows)])]


def responses_in(folder: Path) -> dict[str, Any]:
    """Return what responses gain, by the digest of the agent; raises UserError for a file that is damaged."""
    try:
        found = json.loads((folder / FOLDER / RESULT).read_text(encoding="utf-8"))["agents"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder) from error
    if not isinstance(found, dict):
        raise _damaged(folder)
    return found


def row_of(found: Mapping[str, Any]) -> list[str]:
    """Return the cells under TITLES for one agent."""
    by_seat = ", ".join(written(seat["gain"]["mean"], seat["gain"]["ci95"]) for seat in found["seats"])
    numbers = (written(found[name]["mean"], found[name]["ci95"]) for name in ("alone", "earned", "gain"))
    trained = f"{found['algorithm']}, {found['trained']} x {found['steps']:,} steps"
    return [str(found["agent"]), *numbers, by_seat, trained]


def _damaged(folder: Path) -> UserError:
    return UserError(
        f"expected what responses gain in '{folder / FOLDER / RESULT}', got a file that is damaged; delete it, and run "
        "`marl tournament best-response` again"
    )
