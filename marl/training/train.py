"""Training: collect, update, log; evaluate and checkpoint at the end of every stretch.

The run advances in stretches. At the start of a stretch the environments are reset with seeds derived from (seed,
stretch), whether the run is resumed or not: 2N steps give the same bytes as N steps, a kill, a resume and N more.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from games.contract import Spec, VecEnv
from games.errors import Diverged, RunFailed, UserError
from games.keys import fold_one, stream
from games.registry import make
from games.workers import Workers
from marl.agents import checkpoint
from marl.agents.entrants import Entrant
from marl.agents.load import load_panel
from marl.agents.references import refuse_code
from marl.base.display import Display
from marl.base.drives import notes_on
from marl.base.files import refuse_links, write_text
from marl.base.lock import ELSEWHERE, held
from marl.base.memory import collect_less, keep_freed_memory
from marl.base.occupied import refuse_others
from marl.base.origin import Origin
from marl.base.schema import complete, dump, load, validate
from marl.base.terminal import Terminal
from marl.evaluation.evaluate import evaluate_entrant
from marl.learning.idle import idle
from marl.learning.learner import Learner
from marl.learning.registry import configured
from marl.rollout.agent import plays_whole_team
from marl.rollout.training_episodes import Episodes
from marl.training.collectors import Collector, WorkerCollector, beginning
from marl.training.config import TrainConfig
from marl.training.opponents import Opponents, Past, listed
from marl.training.parents import begin, find
from marl.training.progress import in_words, metrics_of
from marl.training.reward_terms import RewardTerms, load_reward_terms
from marl.training.runlog import LOGS, RunLog
from marl.training.writers import MLFLOW, WANDB, Writer, load_writers

RUN = "a training run"
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
    opponents: Opponents
    reward_terms: RewardTerms
    panel: dict[str, Entrant | None]  # by name; None: self-play
    writers: dict[str, Writer]  # by name
    end: int  # the step at which it stops
    step: int = 0
    # The digest of its newest checkpoint and its step, which is None for a checkpoint of another run.
    parent: tuple[str, int | None] | None = None
    # Notes of the learner that have been printed, and members of the panel whose cut episodes have been noted.
    noted: set[str] = field(default_factory=set)

    @property
    def fresh(self) -> bool:
        """Whether it has no checkpoint of its own yet."""
        return self.parent is None or self.parent[1] is None

    def close(self) -> None:
        """End the processes in which its games are played and its opponents play."""
        self.collector.close()
        self.opponents.close()
        for entrant in filter(None, self.panel.values()):
            entrant.rest()


def train(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool,
    device: str = "auto",
    console: Terminal | None = None,
    agents: Mapping[str, str] | None = None,
    until: int | None = None,
) -> Path:
    """Train to the config's last step, or to `until` before it, and return the newest checkpoint.

    `agents` are the references of the opponents and of the parent that the config names by digest, `digest:<64 hex
    digits>`: so its checkpoints do not depend on where these lie.
    Raises UserError before anything is written if the config, the game, the algorithm or the folder does not fit, or if
    another process trains there; RunFailed if training breaks, with the last checkpoint kept. An interrupted run can be
    resumed.
    """
    console = console or Terminal()
    if resume:
        refuse_others(folder, RUN, ELSEWHERE)  # whose config.yaml is no run's
        config = as_begun(config, folder)
    run = prepare(config, folder, device=device, agents=agents, until=until)
    with closing(run), held(folder, RUN):
        notes = [
            *idle(run.settings, run.learner.needs(run.settings, run.learner.spec)),
            *run.learner.notes,
            *notes_on(folder),
            *_open_folder(run, resume, agents),
        ]
        if run.step >= run.end and not run.fresh:
            status = f"already trained to {run.step:,} steps; nothing to do"
        else:
            status = f"{_beginning(run)}, to {run.end:,} steps of {config.game} by {run.name}"
        console.print(f"{folder}: {status}")
        for note in notes:
            _note(console, note)
        run.noted.update(notes)
        if run.step < run.end or run.fresh:
            _train(run, console)
        else:
            checkpoint.retain(folder, run.opponents.kept(config.keep))  # it may have been killed before it did
    return checkpoint.folder_of(folder, run.step)


def _beginning(run: Run) -> str:
    """Return how a run that has been opened begins."""
    if run.parent is None:
        return "starts afresh"
    if run.fresh:
        return f"begins with the learner of '{run.config.parent}', at step {run.step:,}"
    return f"goes on from step {run.step:,}"


def _train(run: Run, console: Terminal) -> None:
    """Train a run that has been opened to its end."""
    config = run.config.model_dump(mode="json")
    since = -1 if run.fresh else run.step  # without a checkpoint the logs are empty: not even its first step is logged
    try:
        with (
            RunLog(run.folder, since, run.writers, config, partial(_note, console)) as log,
            Display(str(run.folder), run.end, "steps", console, done=run.step) as display,
        ):
            if run.fresh:
                _finish_stretch(run, log, display)
            while run.step < run.end:
                _stretch(run, log, display)
                _finish_stretch(run, log, display)
    except OSError as error:
        raise RunFailed(
            f"'{run.folder}' could not be written ({error}); --resume goes on from its last checkpoint"
        ) from error


def _note(console: Terminal, text: str) -> None:
    console.print(f"note: {text}", style="yellow")


def prepare(
    config: TrainConfig,
    folder: Path,
    *,
    device: str = "auto",
    agents: Mapping[str, str] | None = None,
    until: int | None = None,
) -> Run:
    """Return a run that is checked and can start; its folder is not touched. `agents` and `until` are as in `train`.

    Raises UserError if something does not fit.
    """
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    collect_less()
    device = device_of(device)
    name, learner_class, settings = configured(config.algorithm, "algorithm", typed=True, origin=config.origin)
    with config.blame_game():
        venv = _environments(config)
    settings = learner_class.resolved(settings, venv.spec, device=device)
    key = stream(config.seed, "learner")
    learner = learner_class(settings, venv.spec, key=key, total_steps=config.steps, device=device)
    opponents = _opponents(config, learner, name, device, agents)
    terms = _reward_terms(config, venv.spec, device, agents)
    length = _rollout_length(config, name, learner)
    against, panel = _panel(config, learner, name, device)
    resolved = _resolved(config, name, settings, length, against)
    if config.rollout_workers:
        collector: Collector = WorkerCollector(config.game, config.num_envs, config.rollout_workers, length)
    else:
        collector = Collector(venv, length)
    end = config.steps if until is None else min(until, config.steps)
    return Run(
        resolved, folder, name, settings, venv, collector, learner, opponents, terms, panel, _writers(config), end
    )


@dataclass(frozen=True)
class Checked:
    """A config that fits: as a run of it records it, and with the digests of the agents that it names."""

    config: TrainConfig
    opponents: tuple[tuple[str, list[float]], ...]  # the digest of each, and its weights by the learner's seat [N]
    panel: tuple[str, ...]  # digests, and `self`
    parent: str | None  # the digest of the checkpoint
    asked: tuple[tuple[str, ...], ...] = ()  # by reward term: the digests of its agents

    @property
    def inputs(self) -> dict[str, Any]:
        """All that decides what a run of it becomes, by value and by digest: no paths of agents."""
        inputs = self.config.model_dump(mode="json", exclude={"writers"})
        inputs["opponents"]["agents"] = [list(each) for each in self.opponents]
        inputs["evaluation"]["panel"] = list(self.panel)
        for term, asked in zip(inputs.get("reward_terms", ()), self.asked, strict=True):
            term["agents"] = list(asked)
        if self.parent is not None:
            inputs["parent"] = self.parent
        return inputs


def check(config: TrainConfig, device: str = "auto", agents: Mapping[str, str] | None = None) -> Checked:
    """Check a config as far as possible without its environments and its folder; raises UserError.

    `agents` are as in `train`.
    """
    device = device_of(device)
    name, learner_class, settings = configured(config.algorithm, "algorithm", typed=True, origin=config.origin)
    with config.blame_game():
        spec = make(config.game, 1).spec
    settings = learner_class.resolved(settings, spec, device=device)
    learner = learner_class(settings, spec, key=0, total_steps=1, device=device)
    length = _rollout_length(config, name, learner)
    opponents = _opponents(config, learner, name, "cpu", agents).listed
    terms = _reward_terms(config, spec, "cpu", agents)
    against, panel = _panel(config, learner, name)
    _writers(config)
    parent = find(config, name, spec, agents)
    return Checked(
        _resolved(config, name, settings, length, against),
        tuple((opponent.entrant.digest, opponent.weights.tolist()) for opponent in opponents),
        tuple(entrant.digest if entrant else "self" for entrant in panel.values()),
        parent.digest if parent else None,
        terms.asked,
    )


def _resolved(config: TrainConfig, name: str, settings: BaseModel, length: int, panel: Sequence[str]) -> TrainConfig:
    """Return a config as a run records it: what it leaves open has been decided."""
    algorithm = {"name": name} | settings.model_dump(mode="json")
    evaluation = config.evaluation.model_copy(update={"panel": panel})
    return config.model_copy(update={"algorithm": algorithm, "rollout_length": length, "evaluation": evaluation})


def _opponents(
    config: TrainConfig, learner: Learner, name: str, device: str, agents: Mapping[str, str] | None
) -> Opponents:
    """Return the opponents of a run, with the members of its populations and its own past."""
    meets = config.opponents.agents or config.opponents.past
    if meets and any(plays_whole_team(actor) for actor in learner.actors()):
        with config.origin.blame(("opponents",)):
            raise UserError(f"{name} plays all seats of a team, and meets no opponents: leave them out")
    with config.origin.blame(("opponents", "agents")):
        named = listed(config.opponents, learner.spec, device, agents)
    with config.origin.blame(("opponents", "past")):
        past = Past(config.opponents.past, learner, name, device) if config.opponents.past else None
    with config.origin.blame(("opponents",)):
        return Opponents(config.opponents, learner.spec, named, past)


def _reward_terms(config: TrainConfig, spec: Spec, device: str, agents: Mapping[str, str] | None) -> RewardTerms:
    with config.origin.blame(("reward_terms",)):
        return load_reward_terms(config.reward_terms, config.opponents, spec, device, agents)


def _panel(
    config: TrainConfig, learner: Learner, name: str, device: str = "cpu"
) -> tuple[Sequence[str], dict[str, Entrant | None]]:
    """Return the panel of a run, as text and loaded.

    By default it is `random`, for a team self-play first, and that alone where one agent plays the whole team.
    """
    texts, spec, whole_team = config.evaluation.panel, learner.spec, plays_whole_team(learner.agent())
    if texts is None:
        texts = ("self", "random") if spec.payoff == "team" else ("random",)
        texts = ("self",) if whole_team else texts
    with config.origin.blame(("evaluation", "panel")):
        if whole_team and spec.num_players > 1 and any(text != "self" for text in texts):
            raise UserError(
                f"{name} plays all seats of a team, so nobody can sit beside it: expected [self], got "
                f"[{', '.join(texts)}]"
            )
        return texts, load_panel(texts, spec, device)


def _writers(config: TrainConfig) -> dict[str, Writer]:
    with config.origin.blame(("writers",)):
        return load_writers(config.writers)


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


def spelled_out(config: TrainConfig, *, typed: bool = True, record: bool = False) -> TrainConfig:
    """Return the config with every setting of its algorithm, defaults included; `typed`, `record`: see `configured`."""
    name, _, settings = configured(config.algorithm, "algorithm", typed=typed, record=record, origin=config.origin)
    return config.model_copy(update={"algorithm": {"name": name} | settings.model_dump(mode="json")})


def device_of(name: str) -> str:
    """Return cpu, cuda or cuda:N; raises UserError for another name, or for a GPU that is not there."""
    number = re.fullmatch(r"cuda:(\d{1,3})", name)
    if name not in ("auto", "cpu", "cuda") and not number:
        raise UserError(f"expected --device auto, cpu, cuda or cuda:N, got '{name}'")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name.startswith("cuda") and not found:
        raise UserError(f"--device {name} was asked for, and torch finds no GPU here; use --device auto")
    if number and int(number[1]) >= found:
        last = f" to cuda:{found - 1}" if found > 1 else ""
        raise UserError(f"--device {name} was asked for, and torch finds cuda:0{last} here; name one of these")
    return f"cuda:{int(number[1])}" if number else "cuda" if name != "cpu" and found else "cpu"


def _open_folder(run: Run, resume: bool, agents: Mapping[str, str] | None) -> list[str]:
    """Make the run's folder, or load its newest whole checkpoint; return notes for the user.

    A run without a checkpoint begins with the learner of its parent, if it has one.

    Raises UserError, with nothing changed, if the folder holds a run that cannot be resumed like this.
    """
    path = run.folder / "config.yaml"
    notes: list[str] = []
    damaged: Sequence[Path] = ()
    refuse_links(*(run.folder / name for name in ("config.yaml", "checkpoints", *LOGS)))
    refuse_links(run.folder / WANDB, run.folder / MLFLOW, below=False)  # W&B has links of its own there
    if path.exists():
        if not resume:
            raise UserError(
                f"'{run.folder}' already holds a run; go on with it (--resume, resume=True), or name another run folder"
            )
        resumed = checkpoint.resumed(run.folder)
        if resumed is not None:
            _go_on(run, resumed)
            notes, damaged = _notes_of(resumed), resumed.damaged
            if run.step >= run.end:
                return notes  # nothing to train: its config stays as it is
    if run.fresh and (parent := find(run.config, run.name, run.venv.spec, agents)):
        begin(run.learner, parent, run.settings.model_dump(mode="json"))
        run.step, run.parent = parent.about["step"], (parent.about["digest"], None)
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
    begun = validate(TrainConfig, about["config"], Origin(where), record=True)
    _refuse_other(run.config, _recorded(begun, run.config), f"the checkpoint '{resumed.folder}'")
    try:
        run.learner.load_state(resumed.learner)
    except (KeyError, ValueError, RuntimeError) as error:  # from dictionaries, numpy and torch
        raise UserError(
            f"the learner's state in '{resumed.folder}' does not fit this version of {run.name}; go on with the "
            "version that wrote it, or name another --run-dir"
        ) from error
    run.opponents.restore(resumed.folder, about)
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
    """Return the config of a resumed run: keys that it leaves open are those of the run's config.yaml.

    Raises UserError if it differs from the run's config in more than the steps, the writers and the number of rollout
    workers, or if it would run code that the run's config names.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return config
    try:
        begun = load(TrainConfig, path, record=True)
    except UserError as error:
        raise UserError(f"'{path}' is damaged ({error}); put back the config that the run was begun with") from error
    begun = _recorded(begun, config)
    given = config.model_dump(mode="json", exclude_unset=True)
    # These a run sets at its start: null leaves them open, too.
    if config.rollout_length is None:
        given.pop("rollout_length", None)
    if config.evaluation.panel is None:
        given.get("evaluation", {}).pop("panel", None)
    for section, key, texts in (
        ("opponents", "agents", begun.opponents.references),
        ("evaluation", "panel", begun.evaluation.panel),
    ):
        if key not in given.get(section, {}):
            refuse_code(texts or (), f"{section}.{key}", path)
    whole = complete(config, given, begun)
    _refuse_other(spelled_out(whole), begun, "the run")
    return whole


def _recorded(begun: TrainConfig, config: TrainConfig) -> TrainConfig:
    """Return the config that a run wrote, with every setting of its algorithm as the run had it.

    A class that is not registered is the run's algorithm only where the user's config names it too.
    """
    return spelled_out(begun, typed=begun.algorithm.get("name") == config.algorithm.get("name"), record=True)


def _refuse_other(config: TrainConfig, begun: TrainConfig, what: str) -> None:
    """Raise UserError if a config differs from that with which a run was begun, both with all settings."""
    now, before = (whole.model_dump(mode="json") for whole in (config, begun))
    may_change = {"steps", "writers"}
    if config.rollout_workers and begun.rollout_workers:
        may_change.add("rollout_workers")  # any number >= 1 plays the same games
    for key in now | before:
        was, is_now = before.get(key), now.get(key)
        if key not in may_change and was != is_now:
            setting, was, is_now = _difference(key, was, is_now)
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
    """Train until the next checkpoint is due.

    For a learner of whole episodes those that are open then are played to their ends, and no others are begun. So every
    episode that was begun is learned from, whatever its length; if the open ones were dropped, those kept would be too
    short. What has not ended after as many rollouts again as the stretch had is dropped.
    """
    config, learner, collector = run.config, run.learner, run.collector
    end = min((run.step // config.stretch + 1) * config.stretch, run.end)
    mine = range(_open_episodes(run))
    episodes = Episodes(config.num_envs, learner.spec.num_players)
    collector.begin()
    unfinished = np.full(config.num_envs, learner.whole_episodes)  # [E] whose open episode is to be learned from
    closing, last, rollouts = False, False, 0
    wall, cpu = time.perf_counter(), time.process_time() + collector.elsewhere
    while not last:
        trajectory = collector.take()
        run.step += trajectory.steps
        rollouts += -1 if closing else 1
        if closing:
            unfinished &= ~trajectory.first[trajectory.recorded :].any(0)
        closing = run.step >= end
        last = closing and (rollouts == 0 or not unfinished.any())
        if not last:
            collector.begin(closing=closing)
        ended = episodes.add(trajectory)
        progress = metrics_of(ended, learner.spec, learner.leaders())
        shaped, paid = run.reward_terms.shape(trajectory, mine)
        metrics = learner.update(shaped, mine) | progress | run.opponents.watch(trajectory, ended) | paid
        _say_new_notes(run, display)
        if trajectory.steps == 0:  # only slots that reset an environment, and idle ones: nothing to log
            continue
        before, wall = wall, time.perf_counter()
        metrics["steps_per_second"] = trajectory.steps / (wall - before)
        before, cpu = cpu, time.process_time() + collector.elsewhere
        metrics["steps_per_cpu_second"] = trajectory.steps / (cpu - before)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise _diverged(run, bad[0])
        log.metrics(run.step, metrics)
        display.advance_to(run.step, in_words(progress))


def _say_new_notes(run: Run, display: Display) -> None:
    """Print the notes that the learner has added while it learned."""
    for note in run.learner.notes:
        if note not in run.noted:
            run.noted.add(note)
            display.line(f"note: {note}")


def _open_episodes(run: Run) -> int:
    """Reset the environments for a stretch, and seat everybody; return how many of the roster are the learner's."""
    config, learner = run.config, run.learner
    key = fold_one(stream(config.seed, "stretch"), run.step // config.stretch)
    actors = list(learner.actors())
    seating, draw = run.opponents.begin(learner.seating(config.num_envs), learner.leaders(), len(actors))
    entrants = [opponent.entrant for opponent in run.opponents.present]
    run.reward_terms.begin(config.num_envs)
    run.collector.open(actors, entrants, beginning(key, seating, len(actors) + len(entrants), draw))
    return len(actors)


def _diverged(run: Run, what: str) -> Diverged:
    """Return the error of a run in which something that is learned is not finite."""
    return Diverged(
        f"'{what}' is not finite at step {run.step:,}; the last checkpoint is kept: lower the learning rate"
    )


def _finish_stretch(run: Run, log: RunLog, display: Display) -> None:
    """Evaluate against the panel and write a checkpoint; raises Diverged for weights that no agent may have."""
    config, weights = run.config, run.learner.agent_state()
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise _diverged(run, name)
    log.flush()  # an evaluation may take minutes
    results = []
    agent = Entrant("learner", "learner", f"{0:064x}", run.learner.agent(), draws=0)
    for name, against in run.panel.items():
        key = stream(config.seed, "evaluation")
        seeds, max_steps = config.evaluation.seeds, config.evaluation.max_steps
        result = evaluate_entrant(run.venv, agent, against, seeds=seeds, key=key, max_steps=max_steps)
        if result.cut and name not in run.noted:
            run.noted.add(name)
            display.line(f"note: {result.note(name)}")
        log.evaluation(run.step, name, result.to_json())
        means = " ".join(f"{mean:+.2f}" for mean in result.return_mean)
        results.append(f"{name} {means}")
    log.flush()
    folder = checkpoint.folder_of(run.folder, run.step)
    digest = checkpoint.write(
        folder,
        algorithm=run.name,
        settings=run.settings.model_dump(mode="json"),
        spec=run.venv.spec,
        config=config.model_dump(mode="json"),
        step=run.step,
        parent=run.parent,
        agent=weights,
        learner=run.learner.state(),
        past=run.opponents.settle(),
    )
    run.parent = digest, run.step
    run.opponents.add(folder, run.step)
    checkpoint.retain(run.folder, run.opponents.kept(config.keep))
    against_all = "; ".join(results) or "no panel"
    display.line(f"step {run.step:,} of {run.end:,}; mean return by seat against {against_all}")
