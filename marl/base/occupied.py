"""What a folder holds: one training run, one population or one tournament, and never two of them.

Each command writes a config.yaml, so one that worked in another's folder would take that folder's config away.
"""

import os
from pathlib import Path

from games.errors import UserError
from marl.base import yaml
from marl.base.files import read_text
from marl.base.shipped import KINDS

CONFIG = "config.yaml"
SIDE_BY_SIDE = ("population.json", "journal.jsonl")  # of a population without a config.yaml: of members side by side


def holds(folder: Path) -> str:
    """Return what a folder holds, such as "a training run", by its files; empty where that is nothing, or damaged."""
    if not os.path.exists(folder / CONFIG):
        return KINDS["population"].of if any(os.path.exists(folder / name) for name in SIDE_BY_SIDE) else ""
    try:
        data = yaml.read(read_text(folder / CONFIG, yaml.MOST))
    except (OSError, ValueError):
        return ""
    known = KINDS.values() if isinstance(data, dict) else ()
    return next((kind.of for kind in known if kind.is_of(data)), "")


def refuse_others(folder: Path, what: str, elsewhere: str) -> None:
    """Raise UserError where a folder holds another kind of thing than `what`, if that is one of them."""
    held = holds(folder)
    if held and held != what and what in [kind.of for kind in KINDS.values()]:
        raise UserError(f"'{folder}' holds {held}, and {what} needs a folder of its own; {elsewhere}")
