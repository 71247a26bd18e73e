"""The histories of populations by their method."""

from pathlib import Path
from typing import Any

from games.errors import UserError
from marl.base.files import absent
from marl.base.schema import load
from tournaments.populations.config import schema_of
from tournaments.populations.files import ROUNDS
from tournaments.populations.history import History
from tournaments.populations.league.history import LeagueHistory
from tournaments.populations.partners.history import PartnersHistory
from tournaments.populations.pbt.history import PbtHistory
from tournaments.populations.psro.history import PsroHistory

HISTORIES: dict[str, type[History[Any]]] = {
    "psro": PsroHistory,
    "league": LeagueHistory,
    "pbt": PbtHistory,
    "partners": PartnersHistory,
}


def history_of(folder: Path) -> History[Any]:
    """Read a population's folder; raises UserError if it is none that advances in rounds."""
    path = folder / "config.yaml"
    if not (folder / ROUNDS).is_dir():
        what = absent(folder, "`marl population` makes one") if not folder.exists() else "has no rounds"
        raise UserError(f"expected the folder of a population whose members meet, got '{folder}', which {what}")
    config: Any = load(schema_of(path, ()), path, record=True)
    if config.method not in HISTORIES:
        raise UserError(f"expected '{path}' to be of a population in rounds, got method: {config.method}; put it back")
    return HISTORIES[config.method].read(folder, config)
