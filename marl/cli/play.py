"""The command by which a person plays against an agent."""

from typing import Annotated

import typer

from marl.base.terminal import Terminal
from marl.cli.options import MOST_SEED, Algorithms, say


def play(
    game: Annotated[str, typer.Argument(help="A game in which players choose among moves.")],
    against: Annotated[str, typer.Option(help="The agent that holds every other seat.")],
    seat: Annotated[int, typer.Option(min=0, help="The seat that you hold.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="Seed of the game; another one each time by default.")
    ] = None,
    algorithm: Algorithms = None,
) -> None:
    """Play against an agent at the terminal."""
    import secrets

    from marl.agents.load import name_algorithm
    from marl.cli.person import play as play_at_terminal

    try:
        opponent, drawn = name_algorithm(against, algorithm or []), secrets.randbits(63) if seed is None else seed
        play_at_terminal(game, opponent, seat, drawn, Terminal())
    except KeyboardInterrupt:
        say("\nYou left the game.")
        raise SystemExit(130) from None
