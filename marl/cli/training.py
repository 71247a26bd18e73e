"""The commands that train: one run, a sweep; and that draw their learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from games.errors import UserError
from marl.base.engine import Engine
from marl.base.files import run_folder, typed_path
from marl.base.terminal import Terminal
from marl.cli.options import (
    PATH,
    AsJson,
    Config,
    Device,
    Resume,
    RunDir,
    Sets,
    print_json,
    say,
)


def train(
    config: Config,
    sets: Sets = None,
    run_dir: RunDir = None,
    resume: Resume = False,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step before the config's last; --resume goes on.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Train one learner."""
    from marl.base.origin import typed
    from marl.base.schema import load
    from marl.training.config import TrainConfig
    from marl.training.train import train as train_run

    folder = run_folder(config, run_dir)
    newest = train_run(
        load(TrainConfig, config, typed(sets or [])),
        folder,
        resume=resume,
        device=device,
        console=Terminal(),
        until=until,
    )
    say(f"trained: {newest}")
    if (folder / "tensorboard").is_dir():
        say(f"curves: tensorboard --logdir {folder}/tensorboard")


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
    engine: Annotated[Engine, typer.Option(help="Where the members train.")] = "processes",
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", help="Where the runs are kept; runs/<config's name>_sweep by default.", **PATH),
    ] = None,
    resume: Resume = False,
    device: Device = "auto",
) -> None:
    """Train one config with several seeds, and with every combination of a grid, in worker processes or on Ray."""
    from marl.training.population import train_members
    from marl.training.sweep import sweep as members_of

    folder = run_folder(config, run_dir, "{}_sweep")
    settings = members_of(config, seeds=seeds, sets=sets or [], grid=grid or [], workers=workers, engine=engine)
    say(f"population: {train_members(settings, folder, resume=resume, device=device, console=Terminal())}")
    say(f"curves: marl plot {folder}")


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
        typer.Option(help="The picture, .png, .pdf or .svg; plot.png beside what is drawn by default.", **PATH),
    ] = None,
    kind: Annotated[
        Literal["curves", "profile", "aggregates"],
        typer.Option(
            help="Learning curves of one game; or final scores of several games: their profile or aggregates."
        ),
    ] = "curves",
    by: Annotated[
        list[str] | None,
        typer.Option(help="A key of configs whose values make a method; algorithm.name by default.", metavar="A.B"),
    ] = None,
    normalise: Annotated[
        list[str] | None,
        typer.Option(help="Values of a game that are 0 and 1; its return_bounds by default.", metavar="GAME=LOW,HIGH"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw learning curves, a performance profile or aggregates, and print a Markdown table.

    Runs that differ by seed are one curve, or one method.
    """
    if kind == "curves":
        for option, given in (("--by", by), ("--normalise", normalise)):
            if given:
                raise UserError(
                    f"{option} is for --kind profile and --kind aggregates; leave it out, or add one of them"
                )
    from marl.training.plot import beside

    out = out or beside(runs) / ("plot.png" if kind == "curves" else f"{kind}.png")
    text, data = (
        _drawn_curves(runs, metric, against, out)
        if kind == "curves"
        else _drawn_scores(runs, metric, against, by or [], normalise or [], kind, out)
    )
    if as_json:
        print_json(data | {"file": str(out)})
        return
    Terminal().block(f"{text}\n")
    say(f"{kind}: {out}")


def _drawn_curves(runs: Sequence[Path], metric: str, against: str | None, out: Path) -> tuple[str, dict[str, Any]]:
    """Draw learning curves; return them as a table and as JSON data."""
    from marl.training.curves import read
    from marl.training.plot import draw, table

    plotted = read(runs, metric, against)
    draw(plotted, out)
    return table(plotted), plotted.to_json()


def _drawn_scores(
    runs: Sequence[Path],
    metric: str,
    against: str | None,
    by: Sequence[str],
    normalise: Sequence[str],
    kind: str,
    out: Path,
) -> tuple[str, dict[str, Any]]:
    """Draw final scores; return them as a table and as JSON data."""
    from marl.training.curves import ALGORITHM
    from marl.training.score_plot import DRAW, score_table
    from marl.training.scores import read_scores

    scores = read_scores(runs, metric, against, by=by or [ALGORITHM], normalise=normalise)
    DRAW[kind](scores, out)
    return score_table(scores), scores.to_json()
