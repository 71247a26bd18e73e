"""`marl tournament credit`: who carries a team."""

import re
from pathlib import Path
from typing import Annotated

import typer

from games.errors import UserError
from marl.base.terminal import Terminal
from marl.cli.options import MOST, MOST_SEED, AsJson, RunDir, print_json, say

FOLDER = Path("runs/credit")


def tournament_credit(
    game: Annotated[str, typer.Argument(help="The game.")],
    agents: Annotated[list[str], typer.Argument(help="One agent for each seat, or one for all of them.")],
    team: Annotated[
        str | None,
        typer.Option(
            help="The seats of the team, counted from 0, or team:K of the game's teams; all by default.",
            metavar="0,1,...|team:K",
        ),
    ] = None,
    baseline: Annotated[str, typer.Option(help="Who plays in the place of a member that is left out.")] = "random",
    seeds: Annotated[int, typer.Option(min=1, max=MOST, help="Seeds, which all coalitions play.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the games' seeds.")] = 0,
    budget: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Coalitions of each seed, for teams of more than 8 members.")
    ] = None,
    run_dir: RunDir = None,
    workers: Annotated[int, typer.Option(min=1, max=MOST, help="Processes that play.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Measure who carries a team: Shapley values of its members, by the games of its coalitions on the same seeds."""
    from tournaments.credit import CreditConfig, credit
    from tournaments.reports.report import print_table

    config = CreditConfig(
        game=game,
        agents=tuple(agents),
        team=() if team is None else _team(team),
        baseline=baseline,
        seeds=seeds,
        seed=seed,
        budget=budget,
        workers=workers,
    )
    folder = run_dir or FOLDER
    found = credit(config, folder, Terminal(stderr=as_json))
    if as_json:
        print_json(found.to_json())
        return
    print_table(Terminal(), found.titles, found.rows)
    for sentence in found.sentences:
        say(sentence)
    say(f"written: {folder / 'credit.md'} (beside it: credit.json, games.sqlite)")


def _team(text: str) -> tuple[int, ...] | str:
    """Return the team that a user typed: seats, or one of the game's teams."""
    if re.fullmatch(r"team:[0-9]+", text):
        return text
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise UserError(f"expected --team as seats such as 0,1, or as team:0, got '{text}'")
    return tuple(map(int, parts))
