"""Run a population whose members meet, by its method."""

from pathlib import Path
from typing import Any

from marl.base.terminal import Terminal
from marl.training.train import device_of
from tournaments.populations.league.loop import LeaguePopulation
from tournaments.populations.partners.loop import PartnersPopulation
from tournaments.populations.pbt.loop import PbtPopulation
from tournaments.populations.population import Population
from tournaments.populations.psro.loop import Psro
from tournaments.populations.settings import AdvancingConfig

POPULATIONS: dict[str, type[Population[Any]]] = {
    "psro": Psro,
    "league": LeaguePopulation,
    "pbt": PbtPopulation,
    "partners": PartnersPopulation,
}


def run(
    config: AdvancingConfig,
    folder: Path,
    *,
    resume: bool,
    device: str = "auto",
    console: Terminal | None = None,
    accept_changes: bool = False,
) -> Path:
    """Run a population to its last round and return the path of population.json.

    Raises UserError before anything is written if the config, the game, the learner or the folder does not fit, or if
    another process runs a population there; RunFailed where a unit of work fails. What is done is kept: run it again
    with `resume`.
    """
    population = POPULATIONS[config.method](config, folder, device_of(device), console or Terminal())
    return population.run(resume=resume, accept_changes=accept_changes)
