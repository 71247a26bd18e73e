"""The command line: the one place that sees games, learning and tournaments together.

Exit codes: 0 done; 1 a run that failed on its way; 2 bad input; 130 interrupted (resumable).
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from games.errors import UserError, unforeseen
from games.text import sentence
from marl.base.files import typed_path
from marl.base.terminal import Terminal, print_traceback, readable_streams

if TYPE_CHECKING:
    from games.contract import Spec
    from marl.rollout.agent import Agent
    from tournaments.report import Summary

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train agents, and rate them in tournaments, on one game contract.",
)
_INTERRUPTED = "interrupted; what was saved is kept, and the same command (a run's with --resume) goes on from it"
UsageError: Any = typer.BadParameter.__mro__[1]  # Typer does not export the base of its usage errors

tournament = typer.Typer(no_args_is_help=True, help="Play round robins and rate the agents.")
games = typer.Typer(no_args_is_help=True, help="List, show and check games.")
app.add_typer(tournament, name="tournament")
app.add_typer(games, name="games")

_MOST, _MOST_SEED = 2**31 - 1, 2**63 - 1  # of things, and of the number that names a seed
_PATH: Any = {"parser": typed_path, "metavar": "PATH"}  # of an option
Config = Annotated[
    Path, typer.Argument(help="A YAML file, such as one of configs/.", show_default=False, parser=typed_path)
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change one value: --set a.b=c.", metavar="A.B=C")]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="Where the run is kept; runs/<config's name> by default.", **_PATH),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in the folder; start afresh if there is none.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Game = Annotated[str, typer.Argument(help="A game's reference, with its wrappers: 'spread | agent_id'.")]
StorePath = Annotated[Path, typer.Argument(help="A tournament's games.sqlite, or its folder.", parser=typed_path)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Accept the options of every command; `main` reads --debug itself."""


@app.command()
def train(
    config: Config, sets: Sets = None, run_dir: RunDir = None, resume: Resume = False, device: Device = "auto"
) -> None:
    """Train one learner."""
    from marl.training.config import TrainConfig, load
    from marl.training.train import train as train_run

    folder = _folder(config, run_dir)
    newest = train_run(load(TrainConfig, config, sets or []), folder, resume=resume, device=device, console=Terminal())
    _say(f"trained: {newest}")
    _say(f"curves: tensorboard --logdir {folder}/tensorboard")


@app.command()
def population(
    config: Config, sets: Sets = None, run_dir: RunDir = None, resume: Resume = False, device: Device = "auto"
) -> None:
    """Train several members in worker processes, and leave a population folder."""
    from marl.training.config import PopulationConfig, load
    from marl.training.population import train_members

    folder, settings = _folder(config, run_dir), load(PopulationConfig, config, sets or [])
    _say(f"population: {train_members(settings, folder, resume=resume, device=device, console=Terminal())}")
    _say(f"curves: tensorboard --logdir {folder}")


@app.command()
def sweep(
    config: Config,
    seeds: Annotated[
        int, typer.Option(min=1, max=10_000, help="Members of each combination, their seeds counted up.")
    ] = 5,
    grid: Annotated[
        list[str] | None, typer.Option(help="One axis: every value of --grid a.b=1,2,3.", metavar="A.B=C,D,...")
    ] = None,
    sets: Sets = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train side by side.")] = 2,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", help="Where the runs are kept; runs/<config's name>_sweep by default.", **_PATH),
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
) -> None:
    """Train one config with several seeds, and with every combination of a grid, in worker processes."""
    from marl.training.population import train_members
    from marl.training.sweep import sweep as members_of

    folder = _folder(config, run_dir, "{}_sweep")
    settings = members_of(config, seeds=seeds, sets=sets or [], grid=grid or [], workers=workers)
    _say(f"population: {train_members(settings, folder, resume=resume, device=device, console=Terminal())}")
    _say(f"curves: marl plot {folder}")


@app.command()
def plot(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or those of populations and sweeps.", parser=typed_path)
    ],
    metric: Annotated[
        str, typer.Option(help="return or length_mean of evaluations, a key of metrics.jsonl, or several's beginning.")
    ] = "return",
    against: Annotated[
        str | None, typer.Option(help="Evaluations against this one of the panel; its first by default.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The picture, .png, .pdf or .svg; plot.png beside what is drawn by default.", **_PATH),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw learning curves, and print where they end as a Markdown table; runs that differ by seed are one curve."""
    from marl.training.plot import beside, draw, read, table

    plotted, out = read(runs, metric, against), out or beside(runs) / "plot.png"
    draw(plotted, out)
    if as_json:
        _print_json(plotted.to_json() | {"file": str(out)})
        return
    Terminal().block(f"{table(plotted)}\n")
    _say(f"curves: {out}")


@app.command()
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
        int | None, typer.Option(min=1, max=_MOST, help="Seeds, 100 by default; each is played from every seat.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=_MOST_SEED, help="Seed of the games' seeds.")] = 0,
    opening_moves: Annotated[
        int,
        typer.Option(
            min=0, max=_MOST, help="This many steps at a game's beginning are random legal moves, drawn from its seed."
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
            min=2, max=_MOST, help="With --nash-conv: times that each information state is asked, 100 by default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play an agent against others and print its mean return in each seat."""
    import torch

    from games.keys import stream
    from games.registry import make
    from marl.agents.load import enter, game_of, panel_of
    from marl.evaluation.evaluate import evaluate as evaluate_agent

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
        asked = enter(agent, spec).answerable(spec)
        if solved:
            _against_the_truth(agent, reference, asked, spec, key, as_json)
        else:
            _against_best_responses(agent, reference, asked, spec, key, draws or 100, as_json)
        return
    seeds = seeds or 100
    venv = make(reference, min(64, seeds))
    entrant, panel = enter(agent, venv.spec), panel_of(against or ["self"], venv.spec)
    results = {
        name: evaluate_agent(
            venv, entrant, opponent, seeds=seeds, key=key, opening_moves=opening_moves, max_steps=max_steps
        )
        for name, opponent in panel.items()
    }
    if as_json:
        found = [{"against": name} | result.to_json() for name, result in results.items()]
        _print_json({"agent": agent, "game": reference, "opening_moves": opening_moves, "evaluations": found})
        return
    _say(f"{agent} at {reference}: {', '.join(f'{r.episodes} episodes against {name}' for name, r in results.items())}")
    table = Table(Column("against", overflow="fold"), "seat", "mean return", "± 95 %")
    for name, result in results.items():
        for seat, (mean, ci95) in enumerate(zip(result.return_mean, result.return_ci95, strict=True)):
            table.add_row(name, str(seat), f"{mean:+.3f}", f"{ci95:.3f}" if seeds > 1 else "one seed")
    Terminal().print(table)
    for note in filter(None, (result.note(name) for name, result in results.items())):
        _say(f"note: {note}")
    if any(result.length_mean <= opening_moves for result in results.values()):
        _say(f"note: most games end within their {opening_moves} opening moves, where no agent decides")


def _against_the_truth(name: str, game: str, agent: "Agent", spec: "Spec", key: int, as_json: bool) -> None:
    """Print how an agent does where every move's value is known."""
    from marl.evaluation import solved_games as solved

    if spec.name == solved.LABELLED:
        result = solved.accuracy(agent, spec, key)
        if as_json:
            _print_json({"agent": name, "game": game} | result.to_json())
            return
        _say(f"{name}: {result.overall:.1%} of {result.positions} moves keep what the position is worth")
        table = Table("positions", "accuracy")
        for kind, share in (result.by_phase | result.by_difficulty).items():
            table.add_row(f"plies {kind}" if kind in result.by_phase else kind, f"{share:.1%}")
        Terminal().print(table)
        return
    seats = solved.all_ends(agent, game, spec, key)
    if as_json:
        _print_json({"agent": name, "game": game, "seats": [asdict(ends) for ends in seats]})
        return
    _say(f"{name} at {game}, against every move of the others: the distinct ends")
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
        _print_json({"agent": name, "game": game} | asdict(result))
        return
    _say(
        f"{name} at {game}: NashConv {result.at_least:.4f} to {result.nash_conv:.4f}, "
        f"{result.information_states} information states asked {draws} times each"
    )
    table = Table("seat", "against itself", "a best response to it")
    for seat, (value, best) in enumerate(zip(result.value, result.best_response, strict=True)):
        table.add_row(str(seat), f"{value:+.4f}", f"{best:+.4f}")
    Terminal().print(table)


@app.command()
def play(
    game: Annotated[str, typer.Argument(help="A game in which players choose among moves.")],
    against: Annotated[str, typer.Option(help="The agent that holds every other seat.")],
    seat: Annotated[int, typer.Option(min=0, help="The seat that you hold.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=_MOST_SEED, help="Seed of the game; another one each time by default.")
    ] = None,
) -> None:
    """Play against an agent at the terminal."""
    import secrets

    from marl.cli.person import play as play_at_terminal

    try:
        play_at_terminal(game, against, seat, secrets.randbits(63) if seed is None else seed, Terminal())
    except KeyboardInterrupt:
        _say("\nYou left the game.")
        raise SystemExit(130) from None


@app.command()
def algorithms(as_json: AsJson = False) -> None:
    """List the installed algorithms."""
    from games import plugins

    if as_json:
        points = _each(plugins.ALGORITHMS, partial(plugins.entry_point, plugins.ALGORITHMS))
        _print_json({"algorithms": [{"name": name, "learner": point.value} for name, point in points.items()]})
        return
    for name, learner in _each(plugins.ALGORITHMS, partial(plugins.load, plugins.ALGORITHMS)).items():
        summary = (learner.__doc__ or "").strip().splitlines() or [""]
        _say(f"{name}: {summary[0]}")


def _each(group: str, load: Callable[[str], Any]) -> dict[str, Any]:
    """Load every plug-in of a group; complain of those that cannot be had, and return the others by name."""
    from games import plugins

    found = {}
    for name in plugins.names(group):
        try:
            found[name] = load(name)
        except UserError as error:
            _complain(str(error), 0)
    return found


@tournament.command("run")
def tournament_run(
    config: Config,
    sets: Sets = None,
    run_dir: RunDir = None,
    retry_timeouts: Annotated[
        bool, typer.Option("--retry-timeouts", help="Play the games again in which an agent took too long.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Play the games that are missing, rate the agents, and write the report."""
    from marl.training.config import load
    from tournaments.tournament import TournamentConfig, run

    settings, terminal = load(TournamentConfig, config, sets or []), Terminal(stderr=as_json)
    store = run(settings, _folder(config, run_dir), terminal, retry_timeouts=retry_timeouts)
    tournament_report(store, as_json)


@tournament.command("rate")
def tournament_rate(store: StorePath, as_json: AsJson = False) -> None:
    """Print the leaderboard."""
    from tournaments.report import print_leaderboard, summarize

    with _store(store) as opened:
        summary = summarize(opened)
    if summary.reason:
        raise UserError(summary.reason)
    if as_json:
        _print_json(summary.to_json())
    else:
        print_leaderboard(Terminal(), summary)


@tournament.command("report")
def tournament_report(store: StorePath, as_json: AsJson = False) -> None:
    """Print the leaderboard, and write it as Markdown, CSV and one HTML page beside the store."""
    from tournaments.report import print_leaderboard, summarize, write_report

    with _store(store) as opened:
        summary = summarize(opened)
    paths = write_report(summary, opened.path.parent)
    if as_json:
        _print_json(summary.to_json() | {"files": {name: str(path) for name, path in paths.items()}})
        return
    print_leaderboard(Terminal(), summary)
    _say(f"report: {paths['report.html']} (also leaderboard.md and leaderboard.csv beside it)")


@tournament.command("plot")
def tournament_plot(
    store: StorePath,
    by: Annotated[
        str | None,
        typer.Option(
            help="Draw Elo instead, against an argument of the agents, or the steps of a run's checkpoints.",
            metavar="simulations|steps|...",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, .png, .pdf or .svg; matchups.png or elo_by_...png beside the store by default.", **_PATH
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the payoffs of a two-player game's match-ups as a heat map, or Elo curves and their Markdown table."""
    from tournaments.heatmap import draw
    from tournaments.report import summarize

    with _store(store) as opened:
        summary = summarize(opened)
    out = out or opened.path.parent / ("matchups.png" if by is None else f"elo_by_{by}.png")
    if by is not None:
        _plot_elo(summary, by, out, as_json)
        return
    table = draw(summary, out)
    if as_json:
        facts = {"game": summary.game, "opening_moves": summary.opening_moves}
        _print_json(facts | {"matchups": table.to_json(), "file": str(out)})
        return
    _say(f"match-ups: {out}")


def _plot_elo(summary: "Summary", by: str, out: Path, as_json: bool) -> None:
    """Draw the Elo of a tournament's agents against one of their numbers."""
    from tournaments.curves import draw, gather, table
    from tournaments.report import print_warnings

    curves = gather(summary, by)
    draw(curves, out)
    if as_json:
        _print_json(curves.to_json() | {"file": str(out)})
        return
    Terminal().block(f"{table(curves)}\n")
    print_warnings(Terminal(), summary)
    _say(f"curves: {out}")


@games.command("list")
def games_list(as_json: AsJson = False) -> None:
    """List the games that have a name here, and the sources of more."""
    from games import plugins, registry, sources
    from games.wrappers import ON_SPACES

    found = registry.names() + list(sources.listed())
    wrappers, known = sorted((*plugins.names(plugins.WRAPPERS), *ON_SPACES)), plugins.names(plugins.SOURCES)
    if as_json:
        _print_json({"games": found, "sources": known, "wrappers": wrappers})
        return
    for name in found:
        _say(name)
    _say(f"and {', '.join(f'{source}:...' for source in known)}, package.module:Class(...)")
    _say(f"each with wrappers behind it, as in 'spread | agent_id': {', '.join(wrappers)}, SuperSuit's")
    _each(plugins.SOURCES, sources.source)  # names those that cannot be had


@games.command("table")
def games_table(
    source: Annotated[str, typer.Argument(help="Where the games are from: openspiel, pettingzoo, ...")],
    episodes: Annotated[int, typer.Option(min=1, max=_MOST, help="Random episodes to play of each game.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one game may take.")] = 900,
    workers: Annotated[int, typer.Option(min=1, help="Games to check at once.")] = 2,
) -> None:
    """Check every game of a source; print which pass, and why others are refused, as a Markdown table."""
    from games.survey import table

    Terminal().block(table(source, episodes, timeout, workers))


@games.command("show")
def games_show(
    game: Game,
    seed: Annotated[
        int | None, typer.Option(min=0, max=_MOST_SEED, help="Seed of the random episode, 0 by default.")
    ] = None,
    views: Annotated[bool, typer.Option("--views", help="Print what every player sees, as numbers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the Spec alone, as one JSON object.")] = False,
) -> None:
    """Print what a game is, and a random episode of it."""
    from games.playthrough import playthrough
    from games.registry import make

    if as_json:
        if views or seed is not None:
            given = "--views" if views else f"--seed {seed}"
            raise UserError(f"--json prints the Spec alone, and no episode; leave {given} out")
        _print_json(make(game, 1).spec.to_json())
        return
    for line in playthrough(game, seed=seed or 0, views=views):
        Terminal().block(line)


@games.command("check")
def games_check(
    game: Game,
    episodes: Annotated[int, typer.Option(min=1, max=_MOST, help="Random episodes to play.")] = 20,
    write_playthrough: Annotated[
        Path | None,
        typer.Option(help="Write random episodes there as text, to keep and to compare.", **_PATH),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play random games and check every promise of the contract; exit code 1 where one is broken."""
    from games.check import check_game
    from games.playthrough import write
    from marl.training.runlog import Display

    with Display(game, episodes, "parts", Terminal(stderr=True)) as display:
        report = check_game(game, episodes, progress=display.tell)
    if write_playthrough is not None:
        write(game, write_playthrough)
    if as_json:
        _print_json(report.to_json())
    else:
        Terminal().block(str(report))
    if not report.passed:
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; turn errors into one sentence and an exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    readable_streams()
    arguments = [argument for argument in arguments if argument != "--debug"]

    def command() -> Any:
        return app(args=arguments, standalone_mode=False, prog_name="marl")

    try:
        exit_code = _printed(_run(command, debug))
    finally:
        sys.excepthook = print_traceback  # Typer has put its own there
    sys.exit(exit_code)


def _run(command: Callable[[], Any], debug: bool) -> int:
    try:
        exit_code = int(command() or 0)
        return _complain(_INTERRUPTED, exit_code) if exit_code == 130 else exit_code  # Typer turns Ctrl-C into 130
    except UserError as error:
        if debug:
            raise
        return _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(_INTERRUPTED, 130)
    except typer.Exit as done:
        return done.exit_code
    except UsageError as error:  # a wrong option, a missing argument; without a message the help was shown instead
        message = error.format_message()
        return _complain(f"{message} (--help shows what there is)", 2) if message else 2
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # whoever first looked for it
            return _complain(f"expected a path, got '{error.filename}', which is too long; name another", 2)
        return _complain(f"{unforeseen(error)} (--debug shows where; please report it)", 1)


def _printed(exit_code: int) -> int:
    """Write out what was printed; where that fails, say so here, or the interpreter does as it ends, in its own words.

    Whoever reads a pipe may close it (`| head`), and is told nothing.
    """
    try:
        if sys.stdout is not None:  # it is closed
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exit_code == 0 and not isinstance(error, BrokenPipeError):
            return _complain(f"{unforeseen(error)}: what was printed is not all there", 1)
        return exit_code or 1
    return exit_code


def _complain(message: str, exit_code: int) -> int:
    Terminal(stderr=True).print(sentence(f"marl: {message}"))
    return exit_code


def _folder(config: Path, run_dir: Path | None, name: str = "{}") -> Path:
    """Return where a run is kept: the folder asked for, or `name` with the config's in it among the runs."""
    folder = run_dir or Path("runs") / name.format(config.stem)
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # bytes that are no text: logs and checkpoints could not be written there
        raise UserError(f"expected a folder's name in UTF-8, got '{folder}'; name another --run-dir") from None
    return folder


def _store(path: Path) -> Any:
    from tournaments.store import Store
    from tournaments.tournament import STORE

    return Store(path / STORE if path.is_dir() else path)


def _say(text: str) -> None:
    Terminal().print(text)


def _print_json(data: dict[str, Any]) -> None:
    Terminal().write_json(data)
