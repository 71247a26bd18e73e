"""The command that evaluates an agent: against others, against the truth, or against best responses to it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from games.errors import UserError
from marl.base.terminal import Terminal
from marl.cli.options import (
    MOST,
    MOST_SEED,
    Algorithms,
    AsJson,
    print_json,
    say,
)

if TYPE_CHECKING:
    from games.contract import Spec
    from marl.rollout.agent import Agent


def evaluate(
    agent: Annotated[
        str, typer.Argument(help="An agent: a name, package.module:Class(...), or a run or checkpoint folder.")
    ],
    game: Annotated[str | None, typer.Option(help="The game; a checkpoint knows its own.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Who holds the other seats, `self` for self-play; each of several is played apart."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Seeds, 100 by default; each is played from every seat.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the games' seeds.")] = 0,
    opening_moves: Annotated[
        int,
        typer.Option(
            min=0, max=MOST, help="This many steps at a game's beginning are random legal moves, drawn from its seed."
        ),
    ] = 0,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Cut a game after this many steps; its own longest, or 20,000, by default."),
    ] = None,
    solved: Annotated[
        bool,
        typer.Option("--solved", help="Against the truth: solved positions of connect four, or every line of play."),
    ] = False,
    nash_conv: Annotated[
        bool,
        typer.Option(
            "--nash-conv", help="Against best responses to it: a small game of OpenSpiel's that hides something."
        ),
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(
            min=2, max=MOST, help="With --nash-conv: times that each information state is asked, 100 by default."
        ),
    ] = None,
    algorithm: Algorithms = None,
    as_json: AsJson = False,
) -> None:
    """Play an agent against others and print its mean return in each seat."""
    import torch

    from games.keys import stream
    from games.registry import make
    from marl.agents.load import game_of, load_entrant, load_panel, name_algorithm
    from marl.evaluation.evaluate import evaluate_entrant

    if solved and nash_conv:
        raise UserError("--solved is for games that hide nothing and --nash-conv for those that do; leave one out")
    if draws and not nash_conv:
        raise UserError(f"--draws says how often --nash-conv asks; leave it out without --nash-conv, got {draws}")
    torch.set_num_threads(1)
    reference, key = game or game_of(agent), stream(seed, "evaluation")
    if solved or nash_conv:
        for option, given, why in (
            ("--against", ", ".join(against or []), "chooses the others' moves"),
            ("--seeds", seeds, "goes through positions, not through seeds"),
            ("--opening-moves", opening_moves, "begins where it likes"),
            ("--max-steps", max_steps, "plays no whole games"),
        ):
            if given:
                raise UserError(f"{'--solved' if solved else '--nash-conv'} {why}; leave {option} out, got {given}")
        spec = make(reference, 1).spec
        asked = load_entrant(name_algorithm(agent, algorithm or []), spec).answerable(spec)
        if solved:
            _against_the_truth(agent, reference, asked, spec, key, as_json)
        else:
            _against_best_responses(agent, reference, asked, spec, key, draws or 100, as_json)
        return
    seeds = seeds or 100
    venv = make(reference, min(64, seeds))
    entrant = load_entrant(name_algorithm(agent, algorithm or []), venv.spec)
    panel = load_panel([name_algorithm(text, algorithm or []) for text in against or ["self"]], venv.spec)
    results = {
        name: evaluate_entrant(
            venv, entrant, opponent, seeds=seeds, key=key, opening_moves=opening_moves, max_steps=max_steps
        )
        for name, opponent in panel.items()
    }
    if as_json:
        found = [{"against": name} | result.to_json() for name, result in results.items()]
        print_json({"agent": agent, "game": reference, "opening_moves": opening_moves, "evaluations": found})
        return
    say(f"{agent} at {reference}: {', '.join(f'{r.episodes} episodes against {name}' for name, r in results.items())}")
    table = Table(Column("against", overflow="fold"), "seat", "mean return", "± 95 %")
    for name, result in results.items():
        for seat, (mean, ci95) in enumerate(zip(result.return_mean, result.return_ci95, strict=True)):
            table.add_row(name, str(seat), f"{mean:+.3f}", f"{ci95:.3f}" if seeds > 1 else "one seed")
    Terminal().print(table)
    for note in filter(None, (result.note(name) for name, result in results.items())):
        say(f"note: {note}")
    if any(result.length_mean <= opening_moves for result in results.values()):
        say(f"note: most games end within their {opening_moves} opening moves, where no agent decides")


def _against_the_truth(name: str, game: str, agent: "Agent", spec: "Spec", key: int, as_json: bool) -> None:
    """Print how an agent does where every move's value is known."""
    from marl.evaluation import solved_games as solved

    if spec.name == solved.LABELLED:
        result = solved.accuracy(agent, spec, key)
        if as_json:
            print_json({"agent": name, "game": game} | result.to_json())
            return
        say(f"{name}: {result.overall:.1%} of {result.positions} moves keep what the position is worth")
        table = Table("positions", "accuracy")
        for kind, share in (result.by_phase | result.by_difficulty).items():
            table.add_row(f"plies {kind}" if kind in result.by_phase else kind, f"{share:.1%}")
        Terminal().print(table)
        return
    seats = solved.all_ends(agent, game, spec, key)
    if as_json:
        print_json({"agent": name, "game": game, "seats": [asdict(ends) for ends in seats]})
        return
    say(f"{name} at {game}, against every move of the others: the distinct ends")
    table = Table("seat", "won", "drawn", "lost", "decisions")
    for seat, ends in enumerate(seats):
        table.add_row(str(seat), str(ends.won), str(ends.drawn), str(ends.lost), str(ends.decisions))
    Terminal().print(table)


def _against_best_responses(
    name: str, game: str, agent: "Agent", spec: "Spec", key: int, draws: int, as_json: bool
) -> None:
    """Print what the best responses to an agent gain."""
    from marl.evaluation.exploitability import nash_conv

    result = nash_conv(agent, spec, key, draws)
    if as_json:
        print_json({"agent": name, "game": game} | asdict(result))
        return
    say(
        f"{name} at {game}: NashConv {result.at_least:.4f} to {result.nash_conv:.4f}, "
        f"{result.information_states} information states asked {draws} times each"
    )
    table = Table("seat", "against itself", "a best response to it")
    for seat, (value, best) in enumerate(zip(result.value, result.best_response, strict=True)):
        table.add_row(str(seat), f"{value:+.4f}", f"{best:+.4f}")
    Terminal().print(table)
