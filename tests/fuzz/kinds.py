"""The kinds of case: which command is run on what, and what is changed.

`prepare` fills a case's folder with something sound and chooses a command; `harm` makes one change, and says which.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from marl.learning.registry import algorithm as learner
from marl.training.config import MemberConfig, PopulationConfig, TrainConfig
from tests.fuzz import bases
from tests.fuzz.bases import Bases
from tests.fuzz.hostile import PATHS, VALUES, WORDS
from tests.fuzz.mutators import (
    change_data,
    change_file,
    change_json,
    change_option,
    change_reference,
    change_store,
    change_tensors,
    change_yaml,
    sign,
    written,
)
from tournaments.tournament import TournamentConfig

FEW = (
    "0",
    "-1",
    "1",
    "2",
    "1.5",
    "1e3",
    "nan",
    "",
    "x",
    30 * "9",
    5000 * "9",
    "9223372036854775808",
)  # seeds, episodes
FLAG: tuple[str, ...] = ()
SETS = tuple(f"{key}={value}" for key in ("seed", "steps", "game", "x", "a.b", "", ".", "a..b") for value in VALUES)
OPTIONS = {  # of each command; main's own --debug prints tracebacks, as it should
    "train": {"--set": SETS, "--run-dir": PATHS, "--resume": FLAG, "--device": WORDS},
    "population": {"--set": SETS, "--run-dir": PATHS, "--resume": FLAG, "--device": WORDS},
    "sweep": {
        "--set": SETS,
        "--grid": SETS,
        "--seeds": FEW,
        "--workers": ("0", "-1", "1", "x"),
        "--run-dir": PATHS,
        "--resume": FLAG,
    },
    "plot": {"--metric": WORDS, "--against": WORDS, "--out": PATHS, "--json": FLAG},
    "evaluate": {
        "--game": WORDS,
        "--against": WORDS,
        "--seeds": FEW,
        "--seed": WORDS,
        "--opening-moves": FEW,
        "--nash-conv": FLAG,
        "--draws": FEW,
        "--json": FLAG,
    },
    "play": {"--against": WORDS, "--seat": WORDS, "--seed": WORDS},
    "algorithms": {"--json": FLAG},
    "tournament run": {"--set": SETS, "--run-dir": PATHS, "--json": FLAG},
    "tournament rate": {"--json": FLAG},
    "tournament report": {"--json": FLAG},
    "tournament plot": {"--by": WORDS, "--out": PATHS, "--json": FLAG},
    "render": {
        "--out": ("x.svg", "x.png", "x.gif", *PATHS),
        "--game": WORDS,
        "--agents": WORDS,
        "--seed": WORDS,
        "--player": FEW,
        "--move": FEW,
        "--every-move": FLAG,
        "--seconds": WORDS,
        "--width": FEW,
        "--dark": FLAG,
    },
    "games show": {"--seed": WORDS, "--views": FLAG, "--json": FLAG},
    "games check": {"--episodes": FEW, "--write-playthrough": PATHS, "--json": FLAG},
    "games list": {"--json": FLAG},
}


@dataclass
class Trial:
    """A command that is about to be run in a folder of its own."""

    folder: Path
    arguments: list[str]
    typed: bytes = b""
    data: Any = None  # of the config that is being changed, and its file
    target: Path = Path()
    slot: int = 0  # of the argument that is a reference, and what stands before it
    before: str = ""
    signed: bool = False  # by the stranger who changes a checkpoint
    notes: list[str] = field(default_factory=list)
    command: str = field(init=False)  # its name, whatever comes to stand before it

    def __post_init__(self) -> None:
        two = " ".join(self.arguments[:2])
        self.command = two if two in OPTIONS else self.arguments[0]


@dataclass(frozen=True)
class Kind:
    """How cases of a kind are made."""

    prepare: Callable[[Random, Bases, Path], Trial]
    harm: Callable[[Random, Trial], str]


def _option(rng: Random, trial: Trial) -> str:
    return change_option(rng, trial.arguments, OPTIONS[trial.command])


def _config(rng: Random, kit: Bases, folder: Path) -> tuple[str, list[str], Any, dict[str, list[str]]]:
    """Choose a config, the command that reads it, and the keys that it may have."""
    train = sorted(TrainConfig.model_fields)
    sections = {"": train, "evaluation": ["panel", "seeds"], "opponents": ["agents", "past", "share", "dealt"]}
    command = rng.choice(("train", "train", "train", "resume", "population", "sweep", "tournament"))
    if command == "train":
        name = rng.choice(sorted(bases.ALGORITHMS))
        known = sections | {"algorithm": sorted(learner(name).Config.model_fields)}
        return "train.yaml", ["train", "train.yaml", "--run-dir", "new"], bases.algorithm(name), known
    if command == "resume":
        kit.copy("run", folder)
        resumed = bases.TRAIN | {"steps": 192}
        return "train.yaml", ["train", "train.yaml", "--run-dir", "run", "--resume"], resumed, sections
    if command == "population":
        known = {"": sorted(PopulationConfig.model_fields), "members": sorted(MemberConfig.model_fields)}
        return "population.yaml", ["population", "population.yaml", "--run-dir", "new"], bases.POPULATION, known
    if command == "sweep":
        axis = f"{rng.choice(('seed', 'algorithm.hidden', 'steps', 'num_envs', 'x'))}={rng.choice(VALUES)}"
        sweep = ["sweep", "train.yaml", "--seeds", "1", "--workers", "1", "--run-dir", "new", "--grid", axis]
        return "train.yaml", sweep, bases.TRAIN, sections
    kit.copy("run", folder)
    known = {"": sorted(TournamentConfig.model_fields)}
    return "tournament.yaml", ["tournament", "run", "tournament.yaml", "--run-dir", "new"], bases.TOURNAMENT, known


def prepare_config(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Choose a config, as data."""
    name, arguments, data, known = _config(rng, kit, folder)
    if name == "population.yaml":
        kit.copy("train.yaml", folder)
    return Trial(folder, arguments, data=(json.loads(json.dumps(data)), known), target=folder / name)


def harm_config(rng: Random, trial: Trial) -> str:
    """Change a value, a key or the shape of a config; or an option."""
    data, known = trial.data
    said = change_data(rng, data, VALUES, known) if rng.random() < 0.8 else _option(rng, trial)
    trial.target.write_text(written(data), encoding="utf-8", errors="surrogateescape")
    return said


def prepare_yaml(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Choose a config, as text."""
    trial = prepare_config(rng, kit, folder)
    data, _ = trial.data
    trial.target.write_text(bases.block(data), encoding="utf-8")
    if trial.command == "population" and rng.random() < 0.3:
        trial.target = folder / "train.yaml"
    return trial


def harm_yaml(rng: Random, trial: Trial) -> str:
    """Change the text of a config."""
    held = trial.target.read_bytes().decode("utf-8", "surrogateescape")
    text, said = change_yaml(rng, held)
    trial.target.write_bytes(text.encode("utf-8", "surrogateescape"))
    return said


GAMES = (
    *("openspiel:tic_tac_toe", "openspiel:kuhn_poker(players=2)", "openspiel:connect_four(rows=4, columns=4)"),
    *(
        "matrix(game=climbing)",
        "two_step",
        "spread(players=2)",
        "foraging",
        "coin_game",
        "openspiel:tic_tac_toe | agent_id",
    ),
    *(
        "gymnasium:CartPole-v1",
        "pettingzoo:mpe2.simple_spread_v3(N=2)",
        "tests.marl.cli.test_cli:Steering()",
        "dec_tiger",
    ),
)
AGENTS = (
    *("random", "mcts(simulations=2)", "uct(simulations=2)", "run", "run/checkpoints/000000064", "run(greedy=true)"),
    *("population", "population/members/a", "tit_for_tat", "always_defect", "marl.rollout.agent:Random()", "self"),
)


def prepare_reference(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Choose a game or an agent, and a command that takes it."""
    for name in ("run", "population", "train.yaml", "tournament.yaml"):
        kit.copy(name, folder)
    game, agent = rng.choice(GAMES), rng.choice(AGENTS)
    small = "openspiel:tic_tac_toe"
    asked, slot, before = rng.choice(
        (
            (["games", "show", game], 2, ""),
            (["games", "show", game, "--json"], 2, ""),
            (["games", "check", game, "--episodes", "1"], 2, ""),
            (["evaluate", "random", "--seeds", "1", "--game", game], 5, ""),
            (["play", game, "--against", "random", "--seed", "1"], 1, ""),
            (["train", "train.yaml", "--run-dir", "new", "--set", f"game={game}"], 5, "game="),
            (
                ["train", "train.yaml", "--run-dir", "new", "--set", f"evaluation.panel=[{agent}]"],
                5,
                "evaluation.panel=",
            ),
            (
                ["train", "train.yaml", "--run-dir", "new", "--set", f"opponents.agents=[{agent}]"],
                5,
                "opponents.agents=",
            ),
            (["tournament", "run", "tournament.yaml", "--set", f"game={game}"], 4, "game="),
            (["tournament", "run", "tournament.yaml", "--set", f"agents=[random, {agent}]"], 4, "agents=[random, "),
            (["evaluate", agent, "--seeds", "1", "--game", small], 1, ""),
            (["evaluate", agent, "--seeds", "1", "--game", small], 1, ""),
            (["evaluate", agent, "--seeds", "1"], 1, ""),
            (["evaluate", "run", "--seeds", "1", "--against", agent], 5, ""),
            (["play", small, "--against", agent, "--seed", "1"], 3, ""),
            (["plot", agent], 1, ""),
            (["render", game, "--out", "x.svg"], 1, ""),
            (["render", small, "--out", "x.svg", "--agents", agent], 5, ""),
            (["tournament", "rate", agent], 2, ""),
        )
    )
    return Trial(folder, asked, _typed(rng), slot=slot, before=before)


def _typed(rng: Random) -> bytes:
    """Return what a person types: nothing, moves, nonsense."""
    moves = b"".join(b"x(%d,%d)\n" % (row, column) for row in range(3) for column in range(3))
    return rng.choice(
        (b"", b"q\n", b"1\n2\n3\n", b"\xff\xfe\n", b"help\n\n", b"a" * 5000 + b"\nq\n", moves, b"\x1b[A\nq")
    )


def harm_reference(rng: Random, trial: Trial) -> str:
    """Change the reference; or an option."""
    if rng.random() < 0.1:
        return _option(rng, trial)
    text = trial.arguments[trial.slot].removeprefix(trial.before)
    text, said = change_reference(rng, text)
    trial.arguments[trial.slot] = trial.before + text
    return f"{said}: {text!r:.80}"


def prepare_checkpoint(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Take a run, and a command that reads it."""
    for name in ("run", "train.yaml", "tournament.yaml"):
        kit.copy(name, folder)
    (folder / "evil.py").write_text(bases.EVIL)
    some = f"run/checkpoints/{rng.choice(('000000000', '000000064', '000000128'))}"
    resume = ["train", "train.yaml", "--run-dir", "run", "--resume", "--set", "steps=192"]
    asked = rng.choice(
        (
            ["evaluate", "run", "--seeds", "1"],
            ["evaluate", some, "--seeds", "1"],
            ["evaluate", "random", "--against", some, "--seeds", "1", "--game", bases.TRAIN["game"]],
            ["plot", "run"],
            ["plot", "run", "--metric", "entropy", "--json"],
            resume,
            resume,
            ["train", "train.yaml", "--run-dir", "new", "--set", f"opponents.agents=[{some}]"],
            ["tournament", "run", "tournament.yaml", "--run-dir", "new", "--set", f"agents=[random, {some}]"],
            ["play", bases.TRAIN["game"], "--against", some, "--seed", "1"],
        )
    )
    chosen = folder / some if some in " ".join(asked) else max((folder / "run" / "checkpoints").iterdir())
    return Trial(folder, asked, _typed(rng), target=chosen, signed=rng.random() < 0.6)


def harm_checkpoint(rng: Random, trial: Trial) -> str:
    """Change a file of the run, most often of the checkpoint that is read; or an option."""
    run = trial.folder / "run"
    if rng.random() < 0.1:
        return _option(rng, trial)
    inside = [path for path in trial.target.rglob("*") if path.is_file()] if trial.target.is_dir() else []
    logs = [path for path in run.iterdir() if path.is_file()] if run.is_dir() else []
    if trial.arguments[0] == "plot":
        inside = []
    path = rng.choice(
        sorted(inside or logs) if rng.random() < 0.8 and (inside or logs) else sorted(run.rglob("*")) or [run]
    )
    said = _harm_file(rng, path)
    if trial.signed:
        said += f", {sign(trial.target)}"
    return said


def _harm_file(rng: Random, path: Path) -> str:
    """Change a file by what is in it, or as bytes."""
    if path.is_symlink() or not path.is_file() or rng.random() < 0.3:
        return change_file(rng, path)
    if path.suffix in (".json", ".jsonl"):
        return change_json(rng, path)
    if path.suffix == ".safetensors":
        return change_tensors(rng, path)
    if path.suffix == ".yaml":
        text, said = change_yaml(rng, path.read_bytes().decode("utf-8", "surrogateescape"))
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return f"{path.name}: {said}"
    return change_file(rng, path)


def prepare_population(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Take a population, and a command that reads it."""
    for name in ("population", "train.yaml", "population.yaml", "tournament.yaml"):
        kit.copy(name, folder)
    (folder / "evil.py").write_text(bases.EVIL)
    asked = rng.choice(
        (
            ["evaluate", "population", "--seeds", "1"],
            ["evaluate", "random", "--against", "population", "--seeds", "1", "--game", bases.TRAIN["game"]],
            ["evaluate", "population/members/a", "--seeds", "1"],
            ["plot", "population"],
            ["population", "population.yaml", "--run-dir", "population", "--resume"],
            ["tournament", "run", "tournament.yaml", "--run-dir", "new", "--set", "agents=[random, population]"],
            ["train", "train.yaml", "--run-dir", "new", "--set", "opponents.agents=[population]"],
        )
    )
    return Trial(folder, asked, target=folder / "population" / "population.json")


def harm_population(rng: Random, trial: Trial) -> str:
    """Change the list of members, or any file of theirs; or an option."""
    chance = rng.random()
    if chance < 0.1:
        return _option(rng, trial)
    if chance < 0.8:
        return _harm_file(rng, trial.target)
    return _harm_file(rng, rng.choice(sorted((trial.folder / "population").rglob("*"))))


def prepare_store(rng: Random, kit: Bases, folder: Path) -> Trial:
    """Take a tournament's store, and a command that reads it."""
    for name in ("tournament", "tournament.yaml"):
        kit.copy(name, folder)
    (folder / "evil.py").write_text(bases.EVIL)
    asked = rng.choice(
        (
            ["tournament", "rate", "tournament"],
            ["tournament", "rate", "tournament", "--json"],
            ["tournament", "report", "tournament"],
            ["tournament", "plot", "tournament"],
            ["tournament", "plot", "tournament", "--by", rng.choice(("simulations", "steps", "x"))],
            ["tournament", "run", "tournament.yaml", "--run-dir", "tournament"],
            ["tournament", "run", "tournament.yaml", "--run-dir", "tournament", "--set", "seeds=3"],
        )
    )
    return Trial(folder, asked, target=folder / "tournament" / "games.sqlite")


def harm_store(rng: Random, trial: Trial) -> str:
    """Change the store with SQL, or its bytes; or an option."""
    chance = rng.random()
    if chance < 0.1:
        return _option(rng, trial)
    if chance < 0.7 and trial.target.is_file() and not trial.target.is_symlink():
        return change_store(rng, trial.target)
    return change_file(rng, trial.target)


KINDS = {
    "configs": Kind(prepare_config, harm_config),
    "references": Kind(prepare_reference, harm_reference),
    "yaml": Kind(prepare_yaml, harm_yaml),
    "checkpoints": Kind(prepare_checkpoint, harm_checkpoint),
    "populations": Kind(prepare_population, harm_population),
    "stores": Kind(prepare_store, harm_store),
}


def build(kind: str, seed: int, index: int, only: tuple[int, ...] | None, kit: Bases, folder: Path) -> Trial:
    """Build a case in an empty folder: all of it is drawn from (seed, kind, index). `only` some changes are made."""
    name = f"{seed} {kind} {index}"
    rng = Random(name)
    (folder / "file").write_text("not a folder")
    os.symlink("loop", folder / "loop")
    trial = KINDS[kind].prepare(rng, kit, folder)
    for number in range(rng.choice((1, 1, 1, 2, 2, 3))):
        if only is None or number in only:
            trial.notes.append(f"{number}: {KINDS[kind].harm(Random(f'{name} {number}'), trial)}")
    trial.arguments = [argument.replace("\x00", "") for argument in trial.arguments]  # no command line can hold it
    return trial
