"""The command that evaluates an agent: against others in episodes or exactly, against the truth, or best responses."""

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
    from collections.abc import Mapping

    from games.contract import Spec
    from marl.evaluation.exploitability import Worth
    from marl.rollout.agent import Agent

DRAWS = 100  # the default of --draws


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
    positions: Annotated[
        str | None,
        typer.Option(
            help="With --solved at connect four: `thousand`, plies 13 to 24 (the default), `openings`, 0 to 7, "
            "or `phases`, 8 to 39."
        ),
    ] = None,
    nash_conv: Annotated[
        bool,
        typer.Option(
            "--nash-conv",
            help="Against best responses to it: a small game that hides something, or simultaneous moves.",
        ),
    ] = False,
    policy_value: Annotated[
        bool,
        typer.Option(
            "--policy-value",
            help="The exact mean return in each seat, by the whole tree of a small game.",
        ),
    ] = False,
    best_response: Annotated[
        bool,
        typer.Option(
            "--best-response",
            help="The same beside that of the best response to who holds the other seats, and the share reached.",
        ),
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=MOST,
            help="With the last three: how often an agent that tells no policy is asked at each information state, 100 "
            "times by default.",
        ),
    ] = None,
    algorithm: Algorithms = None,
    as_json: AsJson = False,
) -> None:
    """Play an agent against others and print its mean return in each seat."""
    from games.keys import stream
    from games.registry import make
    from marl.agents.load import game_of, load_entrant, load_panel, name_algorithm
    from marl.base.threads import use_one_thread
    from marl.evaluation.evaluate import evaluate_entrant

    modes = {
        "--solved": solved,
        "--nash-conv": nash_conv,
        "--policy-value": policy_value,
        "--best-response": best_response,
    }
    given = [mode for mode in modes if modes[mode]]
    if len(given) > 1:
        raise UserError(f"expected one way to evaluate an agent, got {' and '.join(given)}; leave all but one out")
    mode = given[0] if given else ""
    if draws and mode in ("", "--solved"):
        raise UserError(
            f"--draws is for --nash-conv, --policy-value and --best-response; leave it out without them, got {draws}"
        )
    if positions and not solved:
        raise UserError(f"--positions is for --solved; leave it out without it, got {positions}")
    use_one_thread()
    reference, key = game or game_of(agent), stream(seed, "evaluation")
    if mode:
        _refuse_others(
            mode,
            ("--against", ", ".join(against or []), "chooses the others' moves"),
            ("--seeds", seeds, "goes through positions, not through seeds"),
            ("--opening-moves", opening_moves, "chooses its own positions"),
            ("--max-steps", max_steps, "plays no whole games"),
        )
        spec = make(reference, 1).spec
        asked = load_entrant(name_algorithm(agent, algorithm or []), spec).answerable(spec)
        if solved:
            _against_the_truth(agent, reference, asked, spec, key, positions, as_json)
        elif nash_conv:
            _nash_conv(agent, reference, asked, spec, key, draws, as_json)
        else:
            panel = load_panel([name_algorithm(text, algorithm or []) for text in against or ["self"]], spec)
            opponents = {name: None if other is None else other.answerable(spec) for name, other in panel.items()}
            _by_the_tree(mode, agent, reference, asked, opponents, spec, key, draws, as_json)
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


def _against_the_truth(
    name: str, game: str, agent: "Agent", spec: "Spec", key: int, positions: str | None, as_json: bool
) -> None:
    """Print how an agent does where every move's value is known."""
    from marl.evaluation import solved_games as solved

    if spec.name == solved.LABELLED:
        result = solved.accuracy(agent, spec, key, positions or "thousand")
        if as_json:
            print_json({"agent": name, "game": game} | result.to_json())
            return
        say(f"{name}: {result.overall:.1%} of {result.positions} moves keep what the position is worth")
        table = Table("positions", "count", "accuracy", "95 %", "random moves")
        for kind, share in ({"all": result.overall} | result.by_phase | result.by_difficulty).items():
            low, high = result.intervals[kind]
            table.add_row(
                f"plies {kind}" if kind in result.by_phase else kind,
                str(result.counts[kind]),
                f"{share:.1%}",
                f"{low:.1%} to {high:.1%}",
                f"{result.random[kind]:.1%}",
            )
        Terminal().print(table)
        return
    if positions:
        raise UserError(f"--positions is for {solved.LABELLED}, got it at '{spec.name}'; leave it out")
    seats = solved.all_ends(agent, game, spec, key)
    if as_json:
        print_json({"agent": name, "game": game, "seats": [asdict(ends) for ends in seats]})
        return
    say(f"{name} at {game}, against every move of the others: the distinct ends")
    table = Table("seat", "won", "drawn", "lost", "decisions")
    for seat, ends in enumerate(seats):
        table.add_row(str(seat), str(ends.won), str(ends.drawn), str(ends.lost), str(ends.decisions))
    Terminal().print(table)


def _nash_conv(name: str, game: str, agent: "Agent", spec: "Spec", key: int, draws: int | None, as_json: bool) -> None:
    """Print what the best responses to an agent gain."""
    from marl.evaluation.exploitability import nash_conv

    result = nash_conv(agent, spec, key, draws or DRAWS, game=game)
    _refuse_draws(draws, result.draws)
    if as_json:
        print_json({"agent": name, "game": game} | asdict(result))
        return
    at_most = f"{result.nash_conv:.4f}"
    found = f"{result.at_least:.4f} to {at_most}" if result.draws else at_most
    say(f"{name} at {game}: NashConv {found}, {_how(result.information_states, result.draws)}")
    table = Table("seat", "against itself", "a best response to it")
    for seat, (value, best) in enumerate(zip(result.value, result.best_response, strict=True)):
        table.add_row(str(seat), f"{value:+.4f}", f"{best:+.4f}")
    Terminal().print(table)


def _by_the_tree(
    mode: str,
    name: str,
    game: str,
    agent: "Agent",
    opponents: "dict[str, Agent | None]",
    spec: "Spec",
    key: int,
    draws: int | None,
    as_json: bool,
) -> None:
    """Print an agent's exact value against opponents and, with --best-response, those of the best responses."""
    from marl.evaluation import exploitability
    from marl.evaluation.tabular import behaviour_of
    from marl.evaluation.tree import Tree

    tree = Tree(spec, mode, game=game)
    own = behaviour_of(tree, agent, key, draws or DRAWS)
    measure = exploitability.best_response if mode == "--best-response" else exploitability.policy_value
    results = {
        against: measure(tree, own, own if other is None else behaviour_of(tree, other, key, draws or DRAWS))
        for against, other in opponents.items()
    }
    drawn = max(result.draws for result in results.values())
    _refuse_draws(draws, drawn)
    if as_json:
        found = [{"against": against} | result.to_json() for against, result in results.items()]
        states = len(tree.known)
        print_json({"agent": name, "game": game, "information_states": states, "evaluations": found})
        return
    say(f"{name} at {game}: mean returns by the whole tree, {_how(len(tree.known), drawn)}")
    Terminal().print(_table_of(mode, results))


def _table_of(mode: str, results: "Mapping[str, Worth]") -> Table:
    """Return the table of an agent's values, and of the best responses' where they were asked for."""
    columns = ("a best response", "share reached") if mode == "--best-response" else ()
    table = Table(Column("against", overflow="fold"), "seat", "mean return", *columns)
    for name, result in results.items():
        for seat, value in enumerate(result.value):
            table.add_row(name, str(seat), f"{value:+.4f}", *_beside(result, seat))
    return table


def _beside(result: "Worth", seat: int) -> list[str]:
    """Return the best response's value as text, if there is one, and the share of it that the agent reaches."""
    from marl.evaluation.exploitability import Response

    if not isinstance(result, Response):
        return []
    low, best, share = result.at_least[seat], result.best_response[seat], result.share[seat]
    return [f"{best:+.4f}" if low == best else f"{low:+.4f} to {best:+.4f}", "" if share is None else f"{share:.1%}"]


def _how(states: int, draws: int) -> str:
    """Return in words how a policy was read."""
    return f"{states} information states " + (f"asked {draws} times each" if draws else "with exact policies")


def _refuse_draws(asked: int | None, draws: int) -> None:
    """Raise UserError where a user's --draws had nothing to draw."""
    if asked and not draws:
        raise UserError(f"nothing is drawn here, as the agents tell their policies; leave --draws out, got {asked}")


def _refuse_others(mode: str, *options: tuple[str, object, str]) -> None:
    """Raise UserError for an option that a way of evaluation does not take: its name, value, and the reason."""
    for option, given, why in options:
        if given and not (option == "--against" and mode in ("--policy-value", "--best-response")):
            raise UserError(f"{mode} {why}; leave {option} out, got {given}")
