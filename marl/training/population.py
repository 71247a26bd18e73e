"""Populations: several training runs, each a member, and a folder with a list of their checkpoints.

check every member -> train each, a unit of work -> journal.jsonl    the members that are trained
                                                    population.json  checkpoints, digests, parents
"""

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from games.errors import RunFailed, UserError
from games.text import cut, sentence, shown
from marl.agents import checkpoint
from marl.agents.populations import FILE
from marl.base.digests import Json
from marl.base.engine import kept, note, require
from marl.base.files import inside, refuse_links, write_text
from marl.base.lock import ELSEWHERE, held
from marl.base.occupied import CONFIG
from marl.base.origin import by_key
from marl.base.parcels import Writes
from marl.base.schema import load
from marl.base.terminal import Terminal, Words
from marl.base.units import JOURNAL, Journal, Unit, as_ended, reason
from marl.training.config import PopulationConfig, TrainConfig
from marl.training.runlog import logged_step
from marl.training.train import Checked, as_begun, check, device_of, train
from marl.training.units import training_unit

LONGEST = 32  # characters of a member's name on a line of progress


def train_members(settings: PopulationConfig, folder: Path, *, resume: bool, device: str, console: Terminal) -> Path:
    """Train every member, each a unit of work, and return the path of population.json, which lists them.

    All are checked before anything is written. If one fails, the others go on and are listed, and RunFailed is raised
    at the end; UserError if all were refused and nothing was written, or if another process trains a population there.
    """
    members = check_members(settings, folder, resume=resume, device=device)
    units = {name: unit_of(name, member) for name, member in members.items()}
    errors: dict[str, Exception] = {}
    with held(folder, "a population"):
        if os.path.exists(folder / CONFIG):
            raise UserError(
                f"'{folder}' holds a population in rounds, and members side by side need a folder of their own; "
                f"{ELSEWHERE}"
            )
        journal = _journal(folder, units, console)
        runs = {name: folder / "members" / name for name in members}
        left = {name: members[name].config.steps for name, unit in units.items() if unit not in journal}
        tasks = {
            units[name]: (
                name,
                members[name].config.model_dump(mode="json"),
                Writes(folder, f"members/{name}"),
                device,
                console.is_terminal,
            )
            for name in sorted(left, key=lambda name: logged_step(runs[name]) - left[name])  # the longest first
        }
        with (
            kept(settings.engine, folder),
            MembersProgress({name: runs[name] for name in left}, left, console) as progress,
        ):
            for unit, ended in as_ended(journal, tasks, train_member, settings.workers, settings.engine):
                name = unit.inputs["member"]
                progress.ended(name)
                for text in ended.notes:
                    console.print(f"{name}: note: {text}")
                if ended.error is None:
                    console.print(f"{name}: trained")
                else:
                    errors[name] = ended.error
        failed = {name: errors[name] for name in members if name in errors}  # whichever failed first
        if len(failed) == len(members) and all(_exit_code(error) == UserError.exit_code for error in failed.values()):
            raise UserError(_reason(next(iter(failed.values()))))
        for name, error in failed.items():
            console.print(sentence(f"{name}: failed: {_reason(error)}"))
        trained = {name: run for name, run in runs.items() if name not in failed}
        path = write(folder, trained) if trained else folder
    if failed:
        name, error = next(iter(failed.items()))
        why = f"'{name}' first: {_reason(error)} (--resume tries again)"
        raise RunFailed(f"{len(failed)} of {len(members)} members failed, {why}")
    return path


def _journal(folder: Path, units: Mapping[str, Unit], console: Terminal) -> Journal:
    """Open the population's journal, without the members whose checkpoints are gone; say which it has."""
    journal = Journal(folder / JOURNAL)
    journal.drop(unit for unit in units.values() if unit in journal and not stands(folder, journal.output(unit)))
    for name, unit in units.items():
        if unit in journal:
            console.print(f"{name}: already trained to {journal.output(unit)['step']:,} steps; nothing to do")
    return journal


def unit_of(name: str, member: Checked) -> Unit:
    """Return the unit of work that trains a member: two members of one config are two units."""
    return training_unit(name, member.inputs, member.config.seed)


def train_member(name: str, config: dict[str, Any], folder: str, device: str, live: bool) -> dict[str, Json]:
    """Train a member of the population in a folder, on from its newest checkpoint if it has one: a unit's function.

    Return its newest checkpoint, relative to the folder, with its digest and its step. With `live` the terminal shows
    the progress of all members, and only the notes of this one are kept, for the user who sees that.
    """
    output = io.StringIO()
    console = Terminal(file=output if live else None, force_terminal=False)
    run = Path(folder) / "members" / name
    try:
        newest = train(TrainConfig.model_validate(config), run, resume=True, device=device, console=console)
    finally:
        for line in output.getvalue().splitlines():
            if line.startswith("note: "):
                note(line.removeprefix("note: "))
    about = checkpoint.read(newest)
    return {"checkpoint": str(newest.relative_to(folder)), "digest": about["digest"], "step": about["step"]}


def stands(folder: Path, output: Json) -> bool:
    """Return whether the newest checkpoint of a member is the one that its unit has left, and its agent is whole."""
    try:
        path = inside(folder, output["checkpoint"])
        about = checkpoint.read(path)
        checkpoint.tensors(path, about, checkpoint.AGENT)
        left = (about["digest"], about["step"]) == (output["digest"], output["step"])
    except (UserError, ValueError, KeyError, TypeError):  # a journal may be a stranger's
        return False
    return left and checkpoint.newest(path.parents[1]) == path


def _reason(error: Exception) -> str:
    where = "" if isinstance(error, UserError) else " (`marl train --debug` of this member shows where)"
    return f"{reason(error)}{where}"


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, UserError) else RunFailed.exit_code


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
) -> dict[str, Checked]:
    """Return each member, checked as far as possible without training, so that no typo stops a run later."""
    require(settings.engine)
    device = device_of(device)
    refuse_links(folder / "members")
    members = {}
    for name, member in settings.members.items():
        try:
            config = load(TrainConfig, Path(member.train), by_key(member.set, "'set.{}'"))
            run = folder / "members" / name
            members[name] = check(as_begun(config, run) if resume else config, device)
        except UserError as error:
            raise UserError(f"the member '{name}': {error}") from error
        if (run / "config.yaml").exists() and not resume:
            raise UserError(f"'{folder}' already holds the member '{name}'; add --resume, or name another --run-dir")
    return members


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
    path = folder / FILE
    try:
        write_text(path, json.dumps({"format": 1, "members": entries}, indent=1) + "\n")
    except OSError as error:
        raise RunFailed(
            f"'{path}' could not be written ({error}); fix that, and run again with --resume to list the members"
        ) from error
    return path
