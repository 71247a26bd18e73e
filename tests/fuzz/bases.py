"""The sound configs, runs, populations and stores that are changed: as small as they can be."""

import contextlib
import io
import shutil
from pathlib import Path

from marl.cli.app import main
from tests.fuzz.mutators import written

TRAIN = {
    "game": "openspiel:tic_tac_toe",
    "algorithm": {"name": "ippo", "hidden": [8]},
    "steps": 64,
    "stretch": 64,
    "num_envs": 4,
    "rollout_length": 8,
    "evaluation": {"panel": ["random"], "seeds": 1},
}
DILEMMA = "matrix(game=prisoners_dilemma, steps=4, memory=true, truncate=true)"
OPPONENT_SHAPING = {"actor_hidden": [], "actor_memory": 0, "critic_hidden": [4], "critic_memory": 0}
SEARCH = {"simulations": 2, "channels": 4, "blocks": 1, "batch_size": 16}
VALUES = {"recurrent": False, "last_action": False, "steps_per_update": 32}
ALGORITHMS = {  # a game, and small settings
    "ippo": ("openspiel:tic_tac_toe", {"hidden": [8], "minibatch_size": 16}),
    "mappo": ("two_step", {"hidden": [8], "recurrent": True, "hidden_size": 4, "minibatch_size": 16}),
    "alphazero": ("openspiel:tic_tac_toe", SEARCH | {"sampled_moves": 2}),
    "muzero": ("openspiel:tic_tac_toe", SEARCH),
    "iql": ("two_step", VALUES),
    "vdn": ("two_step", VALUES),
    "qmix": ("two_step", VALUES),
    "concaveq": ("matrix(game=climbing)", VALUES),
    "aerial": ("dec_tiger", {"steps_per_update": 32}),
    "naive": (DILEMMA, OPPONENT_SHAPING),
    "loqa": (DILEMMA, OPPONENT_SHAPING),
    "lola": (DILEMMA, OPPONENT_SHAPING),
    "minimax_dqn": ("openspiel:goofspiel(num_cards=3)", {"hidden": [8], "batch_size": 8, "learning_starts": 32}),
    "versus": (DILEMMA, {"learners": [{"name": "loqa"} | OPPONENT_SHAPING, {"name": "naive"} | OPPONENT_SHAPING]}),
}
POPULATION = {
    "workers": 1,
    "members": {
        "a": {"train": "train.yaml"},
        "b": {"train": "train.yaml", "set": {"seed": 1, "algorithm.hidden": [4]}},
    },
}
TOURNAMENT = {
    "game": "openspiel:tic_tac_toe",
    "agents": ["random", "mcts(simulations=2)"],
    "seeds": 2,
    "workers": 1,
    "num_envs": 4,
}
EVIL = """from pathlib import Path

(Path(__file__).parent / "canary").touch()
"""


def algorithm(name: str) -> dict:
    """Return a small training config of an algorithm."""
    game, settings = ALGORITHMS[name]
    config = {key: value for key, value in TRAIN.items() if key != "rollout_length"}
    return config | {"game": game, "algorithm": {"name": name} | settings}


def block(data: dict, indent: str = "") -> str:
    """Return a config as YAML in its block style, a line for each setting."""
    lines = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:\n{block(value, indent + '  ')}")
        elif isinstance(value, list) and value:
            lines.append(f"{indent}{key}:\n" + "".join(f"{indent}  - {written(entry)}\n" for entry in value))
        else:
            lines.append(f"{indent}{key}: {written(value)}\n")
    return "".join(lines)


class Bases:
    """A folder with one of each; a case copies what it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name, config in (("train", TRAIN), ("population", POPULATION), ("tournament", TOURNAMENT)):
            (folder / f"{name}.yaml").write_text(block(config), encoding="utf-8")
        with contextlib.chdir(folder):
            _succeed("train", "train.yaml", "--run-dir", "run")
            _succeed("train", "train.yaml", "--run-dir", "run", "--resume", "--set", "steps=128")
            _succeed("population", "population.yaml", "--run-dir", "population")
            _succeed("tournament", "run", "tournament.yaml", "--run-dir", "tournament")
        for board in folder.rglob("tensorboard"):
            shutil.rmtree(board)

    def copy(self, name: str, folder: Path) -> None:
        """Put a base into a case's folder."""
        source, target = self.folder / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)


def _succeed(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main(list(arguments))
        except SystemExit as left:
            assert left.code == 0, arguments
