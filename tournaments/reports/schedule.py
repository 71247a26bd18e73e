"""What the schedule of a tournament found: its files beside the store, and its section of the report."""

import json
from pathlib import Path

from games.errors import UserError
from tournaments.reports.sections import Section, Table

RESULT, RESULT_TABLE = "schedule.json", "schedule.md"


def schedule_section(folder: Path) -> list[Section]:
    """Return a section with what a schedule found and wrote into a folder; none where it found nothing.

    Raises UserError for a file that a tournament does not write.
    """
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        kind, text, table = str(found["kind"]), str(found["text"]), found.get("table")
        tables = [Table([*map(str, table["titles"])], [[*map(str, row)] for row in table["rows"]])] if table else []
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"expected what a schedule found in '{folder / RESULT}', got a file that is damaged; delete it, and run "
            "the tournament again"
        ) from error
    return [Section("schedule", f"Schedule: {kind.replace('_', ' ')}", [f"{text}."], tables)]
