"""The configs of populations by their method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from games.errors import UserError, nearest, written
from marl.base import shipped, yaml
from marl.base.files import read_text
from marl.base.origin import Change
from marl.base.schema import load
from marl.training.config import PopulationConfig
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.partners.config import PartnersConfig
from tournaments.populations.pbt.config import PbtConfig
from tournaments.populations.psro.config import PsroConfig
from tournaments.populations.settings import AdvancingConfig

PopulationSchema = type[PopulationConfig] | type[AdvancingConfig]
METHODS: dict[str, PopulationSchema] = {
    "independent": PopulationConfig,
    "psro": PsroConfig,
    "league": LeagueConfig,
    "pbt": PbtConfig,
    "partners": PartnersConfig,
}


def load_population(path: Path, changes: Sequence[Change]) -> PopulationConfig | AdvancingConfig:
    """Read the config of a population by its method; raises UserError in one sentence for whatever does not fit."""
    return load(schema_of(path, changes), path, changes)


def schema_of(source: Path | Mapping[str, Any], changes: Sequence[Change]) -> PopulationSchema:
    """Return the schema of a config's method; raises UserError for a method that there is not.

    What cannot be read is left to `load`, which says what is wrong with it.
    """
    data: Any = source
    if isinstance(source, Path):
        try:
            data = yaml.read(read_text(shipped.find(source, PsroConfig.kind), yaml.MOST))
        except (OSError, ValueError, yaml.YamlError):
            data = {}
    named = [data["method"]] if isinstance(data, Mapping) and "method" in data else []
    named += [change.value for change in changes if change.key == "method"]
    if not named and isinstance(data, Mapping) and "learner" in data and "members" not in data:
        raise UserError("expected the key 'method' beside 'learner'; add method: psro")
    method = named[-1] if named else "independent"
    if not isinstance(method, str) or method not in METHODS:
        hint = nearest(method, METHODS) if isinstance(method, str) else ""
        raise UserError(f"expected method to be one of {', '.join(METHODS)}, got {written(method)}{hint}")
    return METHODS[method]
