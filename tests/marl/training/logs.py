"""Logs of runs that tests of curves and plots make up."""

import json
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from marl.base.schema import dump
from marl.training.config import TrainConfig
from marl.training.curves import LoggedRun

GAME = "openspiel:tic_tac_toe"


def write_run(folder, seed=0, steps=(0, 100, 200), returns=(0.0, 0.5, 1.0), metrics=(), settings=None, **config):
    """Write a run's folder by hand: its config and its logs."""
    folder.mkdir(parents=True)
    algorithm = {"name": "ippo", "learning_rate": 1e-3, "hidden": [8]} | (settings or {})
    resolved = TrainConfig.model_validate(
        {"game": GAME, "algorithm": algorithm, "seed": seed, "evaluation": {"panel": ["random"]}} | config
    )
    (folder / "config.yaml").write_text(dump(resolved))
    evaluations = [
        {"step": step, "against": against, "return_mean": [value - gap, value + gap], "length_mean": 7.0}
        for step, value in zip(steps, returns, strict=True)
        for against, gap in (("random", 0.25), ("self", 0.0))
        if against in resolved.evaluation.panel
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def run_of(steps, values, seed=0):
    return LoggedRun(Path("run"), {"algorithm.name": "ippo"}, seed, np.array(steps), np.array(values), None, None)


STATES = ("start", "CC", "CD", "DC", "DD")


def write_cooperation(folder, seed, high=1.0, states=STATES, **more):
    """Write a run that logs a family of metrics; its members rise to `high` but for the last, which stays at 0."""
    metrics = [
        {"step": step, "entropy": 0.5}
        | {f"cooperation.{state}": high * step / 200 for state in states[:-1]}
        | {f"cooperation.{states[-1]}": 0.0}
        for step in (100, 200)
    ]
    return write_run(folder, seed, metrics=metrics, **more)


def picture(path):
    """Return a PNG's pixels [H, W, RGBA]."""
    return imread(path)
