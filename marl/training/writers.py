"""Writers: where a run's metrics are shown besides its own logs. An entry point of the group `marl.writers` names one.

    tensorboard                    files in the run's folder
    wandb(project=marl)            Weights & Biases
    mlflow(experiment=marl)        MLflow

Where a server is and who writes to it is said by the services' own environment variables alone (WANDB_BASE_URL,
MLFLOW_TRACKING_URI, ...): a run's config, which may be a stranger's, sends nothing elsewhere.
"""

import re
import secrets
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from games import plugins
from games.errors import UserError
from games.references import call, parse, resolve
from marl.base.files import read_text, write_text

BOARD, WANDB, MLFLOW = "tensorboard", "wandb", "mlflow"  # names of writers, and of what they leave in a run's folder


class Writer(ABC):
    """Show metrics somewhere. It is built, with the arguments of its reference, before anything of a run is written."""

    @abstractmethod
    def open(self, folder: Path, config: Mapping[str, Any], step: int) -> None:
        """Begin to write the run of a folder with this config, or go on after `step`; -1 for a new run."""

    @abstractmethod
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of a step by name: `train/entropy`, `rollout/return_mean`, `evaluation/random/player_0`."""

    def flush(self) -> None:  # noqa: B027 - not every writer has something to do
        """Show what was taken; called every few seconds, and before a checkpoint is written."""

    def close(self) -> None:  # noqa: B027
        """Show what was taken, and end."""


def load_writers(references: Sequence[str]) -> dict[str, Writer]:
    """Return the writers that references name, by name.

    Raises UserError for a name that is not registered, for one that is given twice, for wrong arguments, and where a
    writer's package is not installed.
    """
    writers: dict[str, Writer] = {}
    for text in references:
        reference = parse(text)
        if reference.source:
            raise UserError(
                f"the writer '{text}' is a class that is not registered here; register it by an entry point"
            )
        if reference.name in writers:
            raise UserError(f"expected each writer once, got '{reference.name}' twice; leave one out")
        writer = call(resolve(reference, plugins.WRITERS, "writer"), reference)
        if not isinstance(writer, Writer):
            raise UserError(
                f"expected '{reference.name}' to be a subclass of marl.training.writers.Writer, got {writer!r}"
            )
        writers[reference.name] = writer
    return writers


class TensorBoard(Writer):
    """Write TensorBoard's files into the run's folder."""

    def open(self, folder: Path, config: Mapping[str, Any], step: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard's own imports
            from torch.utils.tensorboard import SummaryWriter
        self._board = SummaryWriter(str(folder / BOARD), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        self._board.flush()

    def close(self) -> None:
        self._board.close()


class Wandb(Writer):
    """Write to Weights & Biases: a run for each run folder, by the folder's name; a population is a group.

    A resumed run goes on there, too. What it had written after its newest checkpoint is shown twice.
    """

    def __init__(self, project: str = "marl", group: str | None = None, name: str | None = None) -> None:
        with _extra(WANDB):
            import wandb
        self._wandb: Any = wandb
        self._options = {"project": project, "group": group, "name": name}
        if self._wandb.setup().settings.mode in ("online", "shared") and not self._wandb.login(prompt=False):
            raise UserError("the writer 'wandb' is not logged in; type `wandb login`, or set WANDB_MODE=offline")

    def open(self, folder: Path, config: Mapping[str, Any], step: int) -> None:
        name, group = names(folder)
        defaults = {"name": name, "group": group}
        self._run = self._wandb.init(
            **self._options | {key: value for key, value in defaults.items() if not self._options[key]},
            id=remembered(folder / WANDB / "id", lambda: secrets.token_hex(4)),
            resume="allow",
            dir=str(folder),
            config=dict(config),
            settings=self._wandb.Settings(console="off", quiet=True, symlink=False),
        )
        self._run.define_metric("*", step_metric="step")  # its own counter would refuse the steps of a resumed run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


class Mlflow(Writer):
    """Write to MLflow: a run for each run folder, by the folder's name.

    A resumed run goes on there, too. What it had written after its newest checkpoint is shown twice.
    """

    MOST = 1_000  # metrics of a request

    def __init__(self, experiment: str = "marl", name: str | None = None) -> None:
        with _extra(MLFLOW):
            import mlflow
        self._mlflow: Any = mlflow
        self._experiment, self._name = experiment, name
        self._taken: list[Any] = []

    def open(self, folder: Path, config: Mapping[str, Any], step: int) -> None:
        self._client = self._mlflow.MlflowClient()
        self._id = remembered(folder / MLFLOW / "id", lambda: self._begun(folder, config))
        self._client.update_run(self._id, status="RUNNING")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._taken += [self._mlflow.entities.Metric(_safe(name), value, now, step) for name, value in values.items()]

    def flush(self) -> None:
        while self._taken:
            self._client.log_batch(self._id, metrics=self._taken[: self.MOST])
            del self._taken[: self.MOST]

    def close(self) -> None:
        self.flush()
        self._client.set_terminated(self._id)

    def _begun(self, folder: Path, config: Mapping[str, Any]) -> str:
        """Begin a run, with the config as its parameters, and return its id."""
        found = self._client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self._experiment)
        name = self._name or "/".join(filter(None, reversed(names(folder))))
        made = str(self._client.create_run(experiment, run_name=name).info.run_id)
        for key, value in config.items():
            self._client.log_param(made, key, str(value)[:500])
        return made


def names(folder: Path) -> tuple[str, str | None]:
    """Return the name of a run, which is its folder's, and that of the population whose member it is, if it is one."""
    here = folder.absolute()
    return here.name, here.parent.parent.name if here.parent.name == "members" else None


def remembered(path: Path, make: Any) -> str:
    """Return the id in a file, or one that `make()` returns, which the file then has."""
    try:
        return read_text(path).strip()
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        made = str(make())
        write_text(path, f"{made}\n")
        return made


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turn the failed import of a writer's package into a UserError with the command that installs it."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"the writer '{name}' needs a package that cannot be imported ({error}); pip install 'marl[{name}]', or "
            "leave it out of writers"
        ) from error


def _safe(name: str) -> str:
    """Return a name as MLflow takes it: letters, digits, and `_-. /`; no part of it is empty or only dots."""
    parts = [re.sub(r"[^\w\-. ]", "_", part, flags=re.ASCII) for part in name.split("/")]
    return "/".join(part.replace(".", "_") if not part.strip(".") else part for part in parts if part)
