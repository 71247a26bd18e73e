"""`marl tournament run`: play what is missing, then report."""

from typing import Annotated

import typer

from marl.base.files import run_folder
from marl.base.terminal import Terminal
from marl.cli.options import Algorithms, AsJson, Config, RunDir, Sets
from tournaments.commands.report import tournament_report


def tournament_run(
    config: Config,
    sets: Sets = None,
    run_dir: RunDir = None,
    retry_timeouts: Annotated[
        bool, typer.Option("--retry-timeouts", help="Play the games again in which an agent took too long.")
    ] = False,
    algorithm: Algorithms = None,
    as_json: AsJson = False,
) -> None:
    """Play the games that are missing, rate the agents, and write the report."""
    from marl.agents.load import name_algorithm
    from marl.base.origin import typed
    from marl.base.schema import load
    from tournaments.tournament import TournamentConfig, run

    settings, terminal = load(TournamentConfig, config, typed(sets or [])), Terminal(stderr=as_json)
    agents = tuple(name_algorithm(agent, algorithm or []) for agent in settings.agents)
    settings = settings.model_copy(update={"agents": agents})
    store = run(settings, run_folder(config, run_dir), terminal, retry_timeouts=retry_timeouts)
    tournament_report(store, as_json=as_json)
