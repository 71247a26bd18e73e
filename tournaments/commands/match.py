"""The commands that play a match, and that add an agent to a tournament."""

from pathlib import Path
from typing import Annotated

import typer

from marl.base.terminal import Terminal
from marl.cli.options import PATH, AsJson, print_json
from tournaments.commands.options import StorePath, Trusted
from tournaments.commands.report import tournament_report

MATCH = Path("runs/match")


def tournament_match(
    agent: Annotated[str, typer.Argument(help="The agent that is tested.", show_default=False)],
    other: Annotated[str, typer.Argument(help="The agent that it is compared with.", show_default=False)],
    game: Annotated[str, typer.Option(help="The game that they play.", show_default=False)],
    elo0: Annotated[float, typer.Option(help="H0: the agent is better by this.")] = 0.0,
    elo1: Annotated[float, typer.Option(help="H1: the agent is better by that.")] = 10.0,
    alpha: Annotated[float, typer.Option(help="How often H1 may be accepted where H0 is true.")] = 0.05,
    beta: Annotated[float, typer.Option(help="How often H0 may be accepted where H1 is true.")] = 0.05,
    normalized: Annotated[bool, typer.Option("--normalized", help="Elo over the deviation of a game.")] = False,
    seeds: Annotated[int, typer.Option(help="At most so many seeds, each from both seats.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Names the seeds.")] = 0,
    opening_moves: Annotated[int, typer.Option(help="Random moves at the beginning.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that play.")] = 2,
    run_dir: Annotated[Path, typer.Option("--run-dir", help="Where the games are kept.", **PATH)] = MATCH,
    as_json: AsJson = False,
) -> None:
    """Play two agents until a sequential probability ratio test says which is better (SPRT)."""
    from marl.base.origin import Origin
    from marl.base.schema import build
    from tournaments.tournament import TournamentConfig, result_of, run

    elo = "normalized" if normalized else "logistic"
    data = {
        "game": game,
        "agents": [agent, other],
        "schedule": {"kind": "sprt", "elo0": elo0, "elo1": elo1, "alpha": alpha, "beta": beta, "elo": elo},
        "seeds": seeds,
        "seed": seed,
        "opening_moves": opening_moves,
        "workers": workers,
    }
    run(build(TournamentConfig, Origin("the options", data)), run_dir, Terminal(stderr=as_json))
    if as_json:
        print_json(result_of(run_dir))


def tournament_add(
    store: StorePath,
    agent: Annotated[str, typer.Argument(help="The agent that enters.", show_default=False)],
    ci95: Annotated[float, typer.Option(help="Play until its rating is known within so much, in Elo.", min=1)] = 25.0,
    seeds: Annotated[int | None, typer.Option(help="Of a pairing; those of the tournament by default.", min=1)] = None,
    max_games: Annotated[int | None, typer.Option(help="Play at most so many games.", min=1)] = None,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """Try an agent against itself, place it by the games that say most, and write the report."""
    from tournaments.newcomer import Target, place
    from tournaments.tournament import tell

    terminal = Terminal(stderr=as_json)
    path, outcome = place(store, agent, Target(ci95, seeds, max_games), terminal, trust or [])
    tell(outcome, terminal)
    tournament_report(path, as_json=as_json)
