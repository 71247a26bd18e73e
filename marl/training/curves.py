"""Learning curves, read from the logs of runs: runs that differ only by seed are one curve."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from games.errors import UserError, nearest
from marl.agents.cost import CPU, WALL
from marl.base.files import absent
from marl.base.schema import load
from marl.training.config import TrainConfig
from marl.training.logs import Log, RunLogs, read_logs
from marl.training.statistics import QUARTILED, estimate

EVALUATED = ("return", "length_mean")  # metrics of evaluations; all others are in metrics.jsonl, a line a rollout
UNITS = {
    "return": "mean return of an episode",
    "length_mean": "length of an episode, steps",
    "entropy": "entropy, nats",
    "approx_kl": "approx_kl, nats",
    "value_loss": "value_loss, squared returns",
    "cooperation": "probability of cooperation",
    "rollout/return_mean": "mean return of a training episode",
    "rollout/episode_length": "length of a training episode, steps",
    "rollout/episodes": "training episodes that ended in a rollout",
    "time/wall_seconds": "seconds since the run was begun",
    "steps_per_second": "environment steps a second",
    "steps_per_cpu_second": "environment steps a CPU-second",
}
ALGORITHM = "algorithm.name"  # the key of a flat config
SWEPT = re.compile(r"(^|_)seed-\d+$")  # the end of the name of a sweep's member
MOST_POINTS = 200  # of a curve; longer logs are averaged
LONGEST_LABEL = 100  # characters of a label of settings

Flat = dict[str, Any]  # a config by dotted keys


@dataclass(frozen=True)
class LoggedRun:
    """One run's log of one metric."""

    folder: Path
    config: Flat  # without the seed
    seed: int
    step: Floats  # [points] environment steps, rising
    value: Floats  # [points]
    wall: float | None  # seconds of training without its evaluations, if the log has them
    cpu: float | None


@dataclass(frozen=True)
class Curve:
    """The curve of the runs of one config: an estimate over their seeds at each step."""

    label: str
    runs: list[LoggedRun]
    step: Floats  # [G]
    value: Floats  # [G]
    low: Floats | None  # [G]; one seed has no interval
    high: Floats | None

    @property
    def estimate(self) -> str:
        """The name of the estimate that `value` is."""
        return "IQM" if len(self.runs) >= QUARTILED else "mean" if len(self.runs) > 1 else "one seed"

    @property
    def interval(self) -> str | None:
        """The name of the interval from `low` to `high`."""
        return None if self.low is None else "95 % bootstrap" if len(self.runs) >= QUARTILED else "range"

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON data."""
        arrays = {"step": self.step, "value": self.value, "low": self.low, "high": self.high}
        return {
            "label": self.label,
            "runs": [str(run.folder) for run in self.runs],
            "seeds": [run.seed for run in self.runs],
            "estimate": self.estimate,
            "interval": self.interval,
            "wall_seconds": mean([run.wall for run in self.runs]),
            "cpu_seconds": mean([run.cpu for run in self.runs]),
        } | {name: None if array is None else array.round(9).tolist() for name, array in arrays.items()}


@dataclass(frozen=True)
class Plot:
    """The curves of one metric at one game."""

    game: str
    metric: str
    against: str | None  # the opponent in evaluations; None for a metric of training
    curves: list[Curve]

    @property
    def title(self) -> str:
        """The metric with its unit and the opponent."""
        unit = UNITS.get(self.metric, self.metric)
        if self.against is None:
            return unit
        return f"{unit} {'of self-play' if self.against == 'self' else f'against {self.against}'}"

    def to_json(self) -> dict[str, Any]:
        """Return the plot as JSON data."""
        about = {"game": self.game, "metric": self.metric, "against": self.against}
        return about | {"curves": [curve.to_json() for curve in self.curves]}


def read(
    folders: Sequence[Path],
    metric: str = "return",
    against: str | None = None,
    logs_of: Callable[[Path], RunLogs] = read_logs,
) -> Plot:
    """Read runs' logs and make one curve of those that differ only by seed.

    `folders` are runs, populations or sweeps; `logs_of` reads the logs of one run. `return` is the agent's mean return
    over all seats, `against` an opponent of the panel, by default the first. A name that is no metric but the beginning
    of several, such as `cooperation` of `cooperation.CC`, stands for that family: a curve for each. Raises UserError if
    a folder holds no run, a run has not logged the metric, runs play different games, or two have the same config and
    seed.
    """
    paths = {run.resolve(): run for folder in folders for run in runs_of(folder)}.values()
    configs = {path: load(TrainConfig, path / "config.yaml") for path in paths}
    games = list(dict.fromkeys(config.game for config in configs.values()))
    if len(games) > 1:
        raise UserError(f"the runs play different games, '{games[0]}' and '{games[1]}'; plot one game at a time")
    refuse_against(metric, against)
    logs = {path: logs_of(path) for path in paths}
    if metric in EVALUATED and against is None:
        against = next((name for path in paths for name in logs[path].evaluations), None)
    found = {path: read_runs(path, config, metric, against, logs[path]) for path, config in configs.items()}
    return Plot(games[0], metric, against, family_curves(metric, found))


def refuse_against(metric: str, against: str | None) -> None:
    """Raise UserError where an opponent is named for a metric of training."""
    if metric not in EVALUATED and against is not None:
        raise UserError(f"--against chooses among evaluations ({', '.join(EVALUATED)}), and '{metric}' is of training")


def runs_of(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, or the members in it; raises UserError if there is neither."""
    if (folder / "rounds").is_dir():
        raise UserError(
            f"'{folder}' is a population whose members meet, which its report draws: `marl population report "
            f"{shlex.quote(str(folder))}`; to plot how members trained, name their runs"
        )
    if (folder / "config.yaml").is_file():
        return [folder]
    members = sorted(path.parent for path in (folder / "members").glob("*/config.yaml"))
    if members:
        return members
    if folder.is_dir():
        raise UserError(f"'{folder}' holds neither a run (config.yaml) nor members; name a run's or a sweep's folder")
    remedy = "`marl train` and `marl sweep` make one"
    what = f"is a file; {remedy}" if folder.exists() else absent(folder, remedy)
    raise UserError(f"expected a run's or a sweep's folder, got '{folder}', which {what}")


def curves(runs: Sequence[LoggedRun]) -> list[Curve]:
    """Group runs by their config without the seed; raises UserError if two runs have the same config and seed."""
    groups: dict[str, list[LoggedRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.config, sort_keys=True), []).append(run)
    found = []
    for label, group in zip(names([*groups.values()]), groups.values(), strict=True):
        group.sort(key=lambda run: run.seed)
        for one, other in pairwise(group):
            if one.seed == other.seed:
                raise UserError(
                    f"'{one.folder}' and '{other.folder}' are the same config with the same seed; plot one of them"
                )
        step, values = align(group)
        found.append(Curve(label, group, step, *estimate(values)))
    return sorted(found, key=lambda curve: _natural(curve.label))


def family_curves(metric: str, found: dict[Path, dict[str, LoggedRun]]) -> list[Curve]:
    """Return the curves of a metric, or of each member of a family; `found` has runs by folder and member's name."""
    members = dict.fromkeys(name for runs in found.values() for name in runs)
    for folder, runs in found.items():
        for name in members:
            if name not in runs:
                raise UserError(f"'{metric}.{name}' is not logged by '{folder}', and is by another; leave one out")
    drawn = [curves([runs[name] for runs in found.values()]) for name in members]  # by member, then by config
    if list(members) == [metric]:
        return drawn[0]
    return [
        replace(curve, label=f"{curve.label}, {name}" if len(drawn[0]) > 1 else name)
        for of_config in zip(*drawn, strict=True)
        for name, curve in zip(members, of_config, strict=True)
    ]


def names(groups: Sequence[Sequence[LoggedRun]]) -> list[str]:
    """Return the labels of curves [C]: the settings that differ, or if each curve is one run, the folders' names.

    Folders' names are used for members of a population, whose config names them (those of a sweep only repeat
    settings), and for other runs if a label of settings would be longer than LONGEST_LABEL.
    """
    by_settings = labels([group[0].config for group in groups])
    folders = [group[0].folder.absolute() for group in groups]
    by_folder = [folder.name for folder in folders]
    if not len(set(by_folder)) == len(groups) == sum(map(len, groups)):
        return by_settings
    members = all(folder.parent.name == "members" and not SWEPT.search(folder.name) for folder in folders)
    return by_folder if members or max(map(len, by_settings)) > LONGEST_LABEL else by_settings


def labels(configs: Sequence[Flat]) -> list[str]:
    """Return a label for each config: its algorithm, and the settings that differ among configs of that algorithm."""
    groups: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        groups.setdefault(str(config.get(ALGORITHM)), []).append(place)
    found = [""] * len(configs)
    for algorithm, places in groups.items():
        for place, settings in zip(places, _differences([configs[place] for place in places]), strict=True):
            found[place] = ", ".join([algorithm, *settings] if len(groups) > 1 or not settings else settings)
    return found


def _differences(configs: Sequence[Flat]) -> list[list[str]]:
    """Return `key=value` of the keys that differ: of keys that all configs have, or of all keys if need be.

    A key is shortened to its last part if that is unique.
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if len({json.dumps(config.get(key)) for config in configs}) > 1]
    shared = [key for key in differing if all(key in config for config in configs)]
    if len({json.dumps([config[key] for key in shared]) for config in configs}) == len(configs):
        differing = shared
    last = [key.split(".")[-1] for key in differing]
    short = {key: part if last.count(part) == 1 else key for key, part in zip(differing, last, strict=True)}
    return [[f"{short[key]}={_word(config[key])}" for key in differing if key in config] for config in configs]


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def align(runs: Sequence[LoggedRun]) -> tuple[Floats, Floats]:
    """Return steps [G] and every run's values at them [S, G], by linear interpolation between its points.

    The steps are those of the run with the fewest points, limited to the range that all runs have logged. Above
    MOST_POINTS, neighbouring steps and values are averaged.
    Raises UserError where the runs have no step in common.
    """
    start, end = max(run.step[0] for run in runs), min(run.step[-1] for run in runs)
    if start > end:
        first = min(runs, key=lambda run: float(run.step[-1]))
        raise UserError(f"'{first.folder}' ends at step {end:,.0f}, before another of its curve begins; leave it out")
    fewest = min(runs, key=lambda run: len(run.step)).step
    step = np.union1d(fewest[(fewest >= start) & (fewest <= end)], [start, end])
    values = np.stack([np.interp(step, run.step, run.value) for run in runs])
    return thinned(step, MOST_POINTS), thinned(values, MOST_POINTS)


def thinned(values: Floats, most: int) -> Floats:
    """Return values [..., G] with neighbours averaged, so that `most` are left at most."""
    if values.shape[-1] <= most:
        return values
    return np.stack([part.mean(-1) for part in np.array_split(values, most, -1)], -1)


def panel_of(folder: Path) -> list[str]:
    """Return the opponents of a run's evaluations, in the order of its panel."""
    return list(read_logs(folder).evaluations)


def read_runs(
    folder: Path, config: TrainConfig, metric: str, against: str | None, logs: RunLogs | None = None
) -> dict[str, LoggedRun]:
    """Return one run's values of a metric, or of each member of a family, by its name.

    They are read from its folder, or from `logs` that were. Raises UserError where there are none, or its logs are
    damaged.
    """
    logs = logs or read_logs(folder)
    log, key = logs.metrics, metric
    if metric in EVALUATED:
        key = "return_mean" if metric == "return" else metric
        panel = list(logs.evaluations)
        if against is None and not panel and config.evaluation.panel == ():
            raise UserError(
                f"'{folder}' was not evaluated, as its panel is empty; name what training logs, such as --metric "
                "rollout/return_mean"
            )
        if against not in panel and (panel or config.evaluation.panel == ()):
            hint = nearest(against or "", panel) or f"; its panel: {', '.join(panel) or 'nobody'}"
            raise UserError(f"'{folder}' is not evaluated against '{against}'{hint}")
        log = logs.evaluations.get(against or "", Log())
    kind = "evaluations" if metric in EVALUATED else "metrics"
    if not len(log):
        raise UserError(f"'{folder}' has no {kind} yet; leave it out, or train it further")
    known = log.names
    members = {name.removeprefix(f"{metric}."): name for name in known if name.startswith(f"{metric}.")}
    if key in known:
        members = {metric: key}
    if not members:
        families = [name.partition(".")[0] for name in known if "." in name]
        hint = nearest(metric, [*known, *families, *EVALUATED]) or f"; known: {', '.join([*EVALUATED, *known])}"
        raise UserError(f"'{metric}' is not logged by '{folder}'{hint}")
    settings = flat(config.model_dump(mode="json", exclude={"seed"}))
    try:
        wall, cpu = logs.metrics.seconds(WALL), logs.metrics.seconds(CPU)
        points = {name: log.points(key) for name, key in members.items()}
    except ValueError as error:
        raise UserError(f"the logs of '{folder}' are damaged ({error}); leave it out") from error
    return {name: LoggedRun(folder, settings, config.seed, *found, wall, cpu) for name, found in points.items()}


def flat(data: dict[str, Any], path: str = "") -> Flat:
    """Return nested keys as dotted ones."""
    found: Flat = {}
    for key, value in data.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean of some numbers; None if there are none, or if one is None."""
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known and len(known) == len(numbers) else None


def _natural(label: str) -> list[tuple[float, str]]:
    """Return a key that sorts the numbers in labels as numbers, and before words."""
    parts = re.split(r"(\d+\.?\d*(?:e[+-]?\d+)?)", label)
    return [(float(part), "") if place % 2 else (np.inf, part) for place, part in enumerate(parts)]
