"""Training: collect, update, log; evaluate and checkpoint at the end of every stretch.

The run advances in stretches. At the start of a stretch the environments are reset with seeds derived from (seed,
stretch), whether the run is resumed or not: 2N steps give the same bytes as N steps, a kill, a resume and N more.
"""

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel

from games.contract import Spec, VecEnv
from games.errors import RunFailed, UserError
from games.keys import fold_one, stream
from games.registry import make
from games.workers import Workers
from marl.agents import checkpoint
from marl.agents.load import Entrant, load_agents, load_panel, panel_from_file
from marl.base.display import Display
from marl.base.drives import notes_on
from marl.base.files import refuse_links, write_text
from marl.base.lock import held
from marl.base.schema import dump, load, validate
from marl.base.terminal import Terminal
from marl.evaluation.evaluate import evaluate
from marl.learning.learner import Learner
from marl.learning.registry import configured
from marl.rollout.seating import seat
from marl.training.collectors import Collector, WorkerCollector, beginning
from marl.training.config import TrainConfig
from marl.training.runlog import LOGS, RunLog

ROLLOUT_LENGTH = 64  # the default, if neither the config nor the learner sets it


@dataclass
class Run:
    """A run that has been checked and can start: everything that its config names is loaded and fits together."""

    config: TrainConfig
    folder: Path
    name: str  # the algorithm's registered name
    settings: BaseModel
    venv: VecEnv
    collector: Collector
    learner: Learner
    opponents: list[Entrant]
    panel: dict[str, Entrant | None]  # by name; None: self-play
    step: int = 0
    parent: tuple[str, int] | None = None  # digest and step of its newest checkpoint
    # Members of the panel for whom the note on cut episodes has been printed.
    noted: set[str] = field(default_factory=set)


def train(
    config: TrainConfig, folder: Path, *, resume: bool, device: str = "auto", console: Terminal | None = None
) -> Path:
    """Train to the config's last step and return the newest checkpoint.

    Raises UserError before anything is written where the config, the game, the algorithm or the folder does not fit,
    or another process trains there; RunFailed on the way, with the last checkpoint kept. An interrupted run can be
    resumed.
    """
    console = console or Terminal()
    if resume:
        config = as_begun(config, folder)
    run = prepare(config, folder, device=device)
    with closing(run.collector), held(folder, "a training run"):
        notes = [*run.learner.notes, *notes_on(folder), *_open_folder(run, resume)]
        if run.step >= config.steps:
            says = f"already trained to {run.step:,} steps; nothing to do"
        else:
            begins = f"goes on from step {run.step:,}" if run.parent else "starts afresh"
            says = f"{begins}, to {config.steps:,} steps of {config.game} by {run.name}"
        console.print(f"{folder}: {says}")
        for note in notes:
            console.print(f"note: {note}", style="yellow")
        if run.step < config.steps:
            _train(run, console)
    return checkpoint.folder_of(folder, run.step)


def _train(run: Run, console: Terminal) -> None:
    """Train a run that has been opened to its last step."""
    steps = run.config.steps
    try:
        # Without a checkpoint the logs are empty: not even step 0 is logged.
        with (
            RunLog(run.folder, run.step if run.parent else -1) as log,
            Display(str(run.folder), steps, "steps", console, done=run.step) as display,
        ):
            if run.parent is None:
                _finish_stretch(run, log, display)
            while run.step < steps:
                _stretch(run, log, display)
                _finish_stretch(run, log, display)
    except OSError as error:
        raise RunFailed(
            f"'{run.folder}' could not be written ({error}); --resume goes on from its last checkpoint"
        ) from error


def prepare(config: TrainConfig, folder: Path, *, device: str = "auto") -> Run:
    """Return a run that is checked and can start; its folder is not touched.

    Raises UserError if something does not fit.
    """
    torch.set_num_threads(config.threads)
    device = device_of(device)
    name, learns, settings = configured(config.algorithm, "algorithm", typed=True)
    venv = _environments(config)
    settings = learns.resolved(settings, venv.spec, device=device)
    key = stream(config.seed, "learner")
    learner = learns(settings, venv.spec, key=key, total_steps=config.steps, device=device)
    opponents = [
        opponent for text in config.opponents.agents for opponent in load_agents(text, venv.spec, device).values()
    ]
    length = _rollout_length(config, name, learner)
    against = _panel(config, venv.spec)
    panel = load_panel(against, venv.spec, device)
    evaluation = config.evaluation.model_copy(update={"panel": against})
    algorithm = {"name": name} | settings.model_dump(mode="json")
    resolved = config.model_copy(update={"algorithm": algorithm, "rollout_length": length, "evaluation": evaluation})
    if config.rollout_workers:
        collector: Collector = WorkerCollector(config.game, config.num_envs, config.rollout_workers, opponents, length)
    else:
        collector = Collector(venv, opponents, length)
    return Run(resolved, folder, name, settings, venv, collector, learner, opponents, panel)


def check(config: TrainConfig, device: str = "auto") -> None:
    """Check a config as far as possible without its environments and its folder; raises UserError."""
    name, learns, settings = configured(config.algorithm, "algorithm", typed=True)
    spec = make(config.game, 1).spec
    learner = learns(settings, spec, key=0, total_steps=1, device=device_of(device))
    _rollout_length(config, name, learner)
    for text in config.opponents.agents:
        load_agents(text, spec)
    load_panel(_panel(config, spec), spec)


def _panel(config: TrainConfig, spec: Spec) -> Sequence[str]:
    """Return the panel of a run; by default `random`, and for a team self-play first."""
    if config.evaluation.panel is not None:
        return config.evaluation.panel
    return ("self", "random") if spec.payoff == "team" else ("random",)


def _environments(config: TrainConfig) -> VecEnv:
    if config.env_workers:
        return Workers(config.game, config.num_envs, config.env_workers)
    return make(config.game, config.num_envs)


def _rollout_length(config: TrainConfig, name: str, learner: Learner) -> int:
    """Return the steps of a rollout; raises UserError where a learner cannot learn from games played as configured."""
    wanted = learner.rollout_length
    if wanted and config.rollout_length not in (None, wanted):
        raise UserError(
            f"{name} learns from whole episodes, {wanted} steps of '{learner.spec.name}' with the one that resets it; "
            f"got rollout_length: {config.rollout_length}; leave it out"
        )
    if config.rollout_workers and not learner.may_lag:
        raise UserError(
            f"rollout workers play with weights that are one rollout old, and {name} learns from its present policy; "
            "set rollout_workers to 0"
        )
    if config.rollout_workers and (config.env_workers or config.rollout_workers > config.num_envs):
        raise UserError(
            f"expected up to {config.num_envs} rollout_workers, one for each of num_envs, and no env_workers beside "
            f"them, got rollout_workers: {config.rollout_workers}, env_workers: {config.env_workers}"
        )
    return wanted or config.rollout_length or ROLLOUT_LENGTH


def spelled_out(config: TrainConfig, *, typed: bool = True) -> TrainConfig:
    """Return the config with every setting of its algorithm, defaults included; `typed`: a user's, not a file's."""
    name, _, settings = configured(config.algorithm, "algorithm", typed=typed)
    return config.model_copy(update={"algorithm": {"name": name} | settings.model_dump(mode="json")})


def device_of(name: str) -> str:
    """Return cpu or cuda; raises UserError for another name, or if there is no GPU for cuda."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"expected --device auto, cpu or cuda, got '{name}'")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda was asked for, and torch finds no GPU here; use --device auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _open_folder(run: Run, resume: bool) -> list[str]:
    """Make the run's folder, or load its newest whole checkpoint; return notes for the user.

    Raises UserError, with nothing changed, if the folder holds a run that cannot be resumed like this.
    """
    path = run.folder / "config.yaml"
    notes: list[str] = []
    damaged: Sequence[Path] = ()
    refuse_links(*(run.folder / name for name in ("config.yaml", "checkpoints", *LOGS)))
    if path.exists():
        if not resume:
            raise UserError(
                f"'{run.folder}' already holds a run; go on with it (--resume, resume=True), or name another run folder"
            )
        resumed = checkpoint.resumed(run.folder)
        if resumed is not None:
            _go_on(run, resumed)
            notes, damaged = _notes_of(resumed), resumed.damaged
            if run.step >= run.config.steps:
                return notes  # nothing to train: its config stays as it is
    try:
        write_text(path, dump(run.config))  # so that a run killed before its first checkpoint has its config
        checkpoint.set_aside(damaged)
    except OSError as error:
        raise UserError(f"the run folder '{run.folder}' cannot be written: {error}; name another --run-dir") from error
    return notes


def _go_on(run: Run, resumed: checkpoint.Resumed) -> None:
    """Load a checkpoint into a run; raises UserError if it belongs to another config or version."""
    about = resumed.about
    where = f"'{resumed.folder / 'checkpoint.json'}'"
    _refuse_other(run.config, validate(TrainConfig, about["config"], where), f"the checkpoint '{resumed.folder}'")
    try:
        run.learner.load_state(resumed.learner)
    except (KeyError, ValueError, RuntimeError) as error:  # from dictionaries, numpy and torch
        raise UserError(
            f"what '{resumed.folder}' holds is not what {run.name} learns from as it is here; go on with the version "
            "that wrote it, or name another --run-dir"
        ) from error
    run.step, run.parent = about["step"], (about["digest"], about["step"])


def _notes_of(resumed: checkpoint.Resumed) -> list[str]:
    notes = []
    if resumed.damaged:
        aside = ", ".join(folder.name for folder in resumed.damaged)
        notes.append(
            f"{resumed.why}; the newest whole checkpoint is that of step {resumed.about['step']:,}, and what came "
            f"after it ({aside}) is trained again"
        )
    if resumed.about["format"] == checkpoint.UNVERIFIED:
        notes.append(checkpoint.UNVERIFIED_SAYS % resumed.folder)
    return notes


def as_begun(config: TrainConfig, folder: Path) -> TrainConfig:
    """Return the config of a resumed run: settings that it leaves open are those of the run.

    Raises UserError if it differs from the run's config in more than the steps and the number of rollout workers, or if
    it would run code that the run's config names.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return config
    try:
        begun = load(TrainConfig, path)
    except UserError as error:
        raise UserError(f"'{path}' is damaged ({error}); put back the config that the run was begun with") from error
    evaluation = config.evaluation
    if evaluation.panel is None:
        panel = begun.evaluation.panel
        evaluation = evaluation.model_copy(update={"panel": panel and panel_from_file(panel, path)})
    length = config.rollout_length or begun.rollout_length
    config = config.model_copy(update={"evaluation": evaluation, "rollout_length": length})
    _refuse_other(config, begun, "the run")
    return config


def _refuse_other(config: TrainConfig, begun: TrainConfig, what: str) -> None:
    """Raise UserError if a config differs from the one with which a run was begun."""
    now = spelled_out(config).model_dump(mode="json")
    typed = begun.algorithm.get("name") == config.algorithm["name"]
    before = spelled_out(begun, typed=typed).model_dump(mode="json")
    may_change = {"steps"}
    if config.rollout_workers and begun.rollout_workers:
        may_change.add("rollout_workers")  # any number >= 1 plays the same games
    for key in now:
        if key not in may_change and before[key] != now[key]:
            setting, was, is_now = _difference(key, before[key], now[key])
            raise UserError(
                f"{what} was begun with {setting}: {was!r}, the config now says {is_now!r}; "
                "resume with the same, or name another --run-dir"
            )


def _difference(path: str, before: object, now: object) -> tuple[str, object, object]:
    """Return the path of the first setting that differs, and what it was and is."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        key = next(key for key in now if before[key] != now[key])
        return _difference(f"{path}.{key}", before[key], now[key])
    return path, before, now


def _stretch(run: Run, log: RunLog, display: Display) -> None:
    """Train until the next checkpoint is due."""
    config, learner = run.config, run.learner
    key = fold_one(stream(config.seed, "stretch"), run.step // config.stretch)
    end = min((run.step // config.stretch + 1) * config.stretch, config.steps)
    actors = list(learner.actors())
    mine = range(len(actors))
    own = learner.seating(config.num_envs)
    seating = seat(own, learner.leaders(), len(actors), len(run.opponents), config.opponents.share)
    collector = run.collector
    collector.open(actors, beginning(key, seating, len(actors) + len(run.opponents)))
    collector.begin()
    wall, cpu = time.perf_counter(), time.process_time() + collector.elsewhere
    while run.step < end:
        trajectory = collector.take()
        run.step += trajectory.steps
        if run.step < end:
            collector.begin()
        metrics = learner.update(trajectory, mine)
        before, wall = wall, time.perf_counter()
        metrics["steps_per_second"] = trajectory.steps / (wall - before)
        before, cpu = cpu, time.process_time() + collector.elsewhere
        metrics["steps_per_cpu_second"] = trajectory.steps / (cpu - before)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise RunFailed(
                f"'{bad[0]}' is not finite at step {run.step:,}; the last checkpoint is kept: lower the learning rate"
            )
        log.metrics(run.step, metrics)
        display.advance_to(run.step)


def _finish_stretch(run: Run, log: RunLog, display: Display) -> None:
    """Evaluate against the panel and write a checkpoint."""
    config = run.config
    results = []
    agent = Entrant("learner", "learner", f"{0:064x}", run.learner.agent(), draws=0)
    for name, against in run.panel.items():
        key = stream(config.seed, "evaluation")
        seeds, max_steps = config.evaluation.seeds, config.evaluation.max_steps
        result = evaluate(run.venv, agent, against, seeds=seeds, key=key, max_steps=max_steps)
        if result.cut and name not in run.noted:
            run.noted.add(name)
            display.line(f"note: {result.note(name)}")
        log.evaluation(run.step, name, result.to_json())
        means = " ".join(f"{mean:+.2f}" for mean in result.return_mean)
        results.append(f"{name} {means}")
    log.flush()
    digest = checkpoint.write(
        checkpoint.folder_of(run.folder, run.step),
        algorithm=run.name,
        settings=run.settings.model_dump(mode="json"),
        spec=run.venv.spec,
        config=config.model_dump(mode="json"),
        step=run.step,
        parent=run.parent,
        agent=run.learner.agent_state(),
        learner=run.learner.state(),
    )
    run.parent = digest, run.step
    checkpoint.retain(run.folder, config.keep)
    against_all = "; ".join(results) or "no panel"
    display.line(f"step {run.step:,} of {config.steps:,}; mean return by seat against {against_all}")
