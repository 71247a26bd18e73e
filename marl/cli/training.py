"""The commands that train: one run, a population, a sweep; and that draw their learning curves."""

from pathlib import Path
from typing import Annotated

import typer

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
    config: Config, sets: Sets = None, run_dir: RunDir = None, resume: Resume = False, device: Device = "auto"
) -> None:
    """Train one learner."""
    from marl.base.origin import typed
    from marl.base.schema import load
    from marl.training.config import TrainConfig
    from marl.training.train import train as train_run

    folder = run_folder(config, run_dir)
    newest = train_run(
        load(TrainConfig, config, typed(sets or [])), folder, resume=resume, device=device, console=Terminal()
    )
    say(f"trained: {newest}")
    say(f"curves: tensorboard --logdir {folder}/tensorboard")


def population(
    config: Config, sets: Sets = None, run_dir: RunDir = None, resume: Resume = False, device: Device = "auto"
) -> None:
    """Train several members in worker processes, and leave a population folder."""
    from marl.base.origin import typed
    from marl.base.schema import load
    from marl.training.config import PopulationConfig
    from marl.training.population import train_members

    folder, settings = run_folder(config, run_dir), load(PopulationConfig, config, typed(sets or []))
    say(f"population: {train_members(settings, folder, resume=resume, device=device, console=Terminal())}")
    say(f"curves: tensorboard --logdir {folder}")


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
    as_json: AsJson = False,
) -> None:
    """Draw learning curves, and print where they end as a Markdown table; runs that differ by seed are one curve."""
    from marl.training.curves import read
    from marl.training.plot import beside, draw, table

    plotted, out = read(runs, metric, against), out or beside(runs) / "plot.png"
    draw(plotted, out)
    if as_json:
        print_json(plotted.to_json() | {"file": str(out)})
        return
    Terminal().block(f"{table(plotted)}\n")
    say(f"curves: {out}")
