"""Populations: several training runs, each a member, and a folder with a list of their checkpoints.

check every member -> train each in a worker process -> population.json: checkpoints, digests, parents
"""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from games.errors import RunFailed, UserError, unforeseen
from games.text import cut, sentence, shown
from marl.agents import checkpoint
from marl.base import engine
from marl.base.files import refuse_links, write_text
from marl.base.lock import held
from marl.base.origin import by_key
from marl.base.schema import load
from marl.base.terminal import Terminal, Words
from marl.training.config import PopulationConfig, TrainConfig
from marl.training.runlog import logged_step
from marl.training.train import as_begun, check, device_of, train

Outcome = tuple[str, list[str], str, int]  # a member's name; its notes; why it failed, or ""; its exit code

LONGEST = 32  # characters of a member's name on a line of progress


def train_members(settings: PopulationConfig, folder: Path, *, resume: bool, device: str, console: Terminal) -> Path:
    """Train every member in worker processes and return the path of population.json, which lists them.

    All are checked before anything is written. If one fails, the others go on and are listed, and RunFailed is raised
    at the end; UserError if all were refused and nothing was written, or if another process trains a population there.
    """
    configs = check_members(settings, folder, resume=resume, device=device)
    runs = {name: folder / "members" / name for name in configs}
    live = console.is_terminal
    tasks = [(name, configs[name].model_dump(mode="json"), str(runs[name]), resume, device, live) for name in configs]
    failed: dict[str, tuple[str, int]] = {}
    with held(folder, "a population"):
        steps = {name: config.steps for name, config in configs.items()}
        with MembersProgress(runs, steps, console) as progress:
            for name, notes, reason, exit_code in engine.run(_train, tasks, settings.workers, settings.engine):
                progress.ended(name)
                for note in notes:
                    console.print(f"{name}: {note}")
                if reason:
                    failed[name] = reason, exit_code
                else:
                    console.print(f"{name}: trained")
        if len(failed) == len(runs) and all(exit_code == UserError.exit_code for _, exit_code in failed.values()):
            raise UserError(next(iter(failed.values()))[0])
        for name, (reason, _) in failed.items():
            console.print(sentence(f"{name}: failed: {reason}"))
        trained = {name: run for name, run in runs.items() if name not in failed}
        path = write(folder, trained) if trained else folder
    if failed:
        name, (reason, _) = next(iter(failed.items()))
        raise RunFailed(f"{len(failed)} of {len(runs)} members failed, '{name}' first: {reason} (--resume tries again)")
    return path


class MembersProgress(Progress):
    """On a terminal, one line for each member that has not ended: the steps that its log has, and the time left."""

    def __init__(self, runs: dict[str, Path], steps: dict[str, int], console: Terminal) -> None:
        self._runs, self._steps = runs, steps
        self._lines: dict[str, TaskID] = {}
        columns = (Words("{task.description}"), BarColumn(bar_width=10), MofNCompleteColumn())
        live = console.is_terminal
        super().__init__(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not live)
        for name, run in runs.items():
            self._lines[name] = self.add_task(cut(shown(name), LONGEST), total=steps[name], completed=logged_step(run))

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the lines, each with the steps that its run has logged so far."""
        for name, line in list(self._lines.items()):
            self.update(line, completed=min(logged_step(self._runs[name]), self._steps[name]))
        yield from super().get_renderables()

    def ended(self, name: str) -> None:
        """Drop a member's line."""
        self.remove_task(self._lines.pop(name))


def check_members(
    settings: PopulationConfig, folder: Path, *, resume: bool, device: str = "auto"
) -> dict[str, TrainConfig]:
    """Return each member's config, checked as far as possible without training, so that no typo stops a run later."""
    engine.require(settings.engine)
    device = device_of(device)
    refuse_links(folder / "members")
    configs = {}
    for name, member in settings.members.items():
        try:
            config = load(TrainConfig, Path(member.train), by_key(member.set, "'set.{}'"))
            run = folder / "members" / name
            configs[name] = as_begun(config, run) if resume else config
            check(configs[name], device)
        except UserError as error:
            raise UserError(f"the member '{name}': {error}") from error
        if (run / "config.yaml").exists() and not resume:
            raise UserError(f"'{folder}' already holds the member '{name}'; add --resume, or name another --run-dir")
    return configs


def write(folder: Path, members: dict[str, Path]) -> Path:
    """Write population.json: each member's newest checkpoint, with its digest and its parent's."""
    entries: list[dict[str, str | int | None]] = []
    for name, run in members.items():
        newest = checkpoint.newest(run)
        if newest is None:
            raise UserError(f"the member '{name}' has no checkpoint in '{run}'; train it first")
        about = checkpoint.read(newest)
        entries.append(
            {
                "id": name,
                "checkpoint": str(newest.relative_to(folder)),
                "digest": about["digest"],
                "parent": about["parent"],
                "algorithm": about["algorithm"],
                "game": about["game"],
                "step": about["step"],
                "seed": about["seed"],
            }
        )
    path = folder / "population.json"
    try:
        write_text(path, json.dumps({"format": 1, "members": entries}, indent=1) + "\n")
    except OSError as error:
        raise RunFailed(
            f"'{path}' could not be written ({error}); fix that, and run again with --resume to list the members"
        ) from error
    return path


def _train(name: str, config: dict[str, Any], folder: str, resume: bool, device: str, live: bool) -> Outcome:
    """Train a member in this process; return errors as text, since not every error can be pickled.

    With `live` the terminal shows the progress of all members, and only the notes of this member are kept.
    """
    output = io.StringIO()
    console = Terminal(file=output if live else None, force_terminal=False)
    reason, exit_code = "", 0
    try:
        train(TrainConfig.model_validate(config), Path(folder), resume=resume, device=device, console=console)
    except UserError as error:
        reason, exit_code = str(error), error.exit_code
    except Exception as error:
        reason, exit_code = (
            f"{unforeseen(error)} (`marl train --debug` of this member shows where)",
            RunFailed.exit_code,
        )
    notes = [line for line in output.getvalue().splitlines() if line.startswith("note: ")]
    return name, notes, reason, exit_code
