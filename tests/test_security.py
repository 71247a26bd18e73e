"""What docs/explanation/security.md promises: nothing that a checkpoint, run, population or store names is run.

Every command that opens one is run on hostile ones, in a process whose audit hook hears what is imported and started.
The folder from which a command is run holds modules that leave a canary, as do all that hostile files name.
"""

import ast
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.bases import Bases
from tests.test_floors import ROOT, sources

CANARY = "import pathlib\npathlib.Path(__file__).with_name('canary').touch()\n"
SHELL = "subprocess:getoutput(cmd='touch canary')"
GAMES = (  # what a checkpoint may call its game
    *(SHELL, "os:system(command='touch canary')", "evil:Game", "evil:Game(x=1)", "this:Game", "tests.evil:Game"),
    *("gymnasium:evil.X-v0", "gymnasium:this.X-v0", "gymnasium:shimmy.GymV26Environment-v0(env_id='evil:X-v0')"),
    *("pettingzoo:evil.x_v0", "pettingzoo:evil_v0", "pettingzoo:mpe2.evil.x_v0", "pettingzoo:..evil.x_v0"),
    *("openspiel:tic_tac_toe | evil:Wrapper", "spread | evil:Wrapper(x=1) | agent_id", f"spread | {SHELL}"),
    *("openspiel:efg_game(filename='/etc/hostname')", "openspiel:misere(game='evil:Game')", "../evil", "evil", ""),
    *(f"spread(x={'-' * 5000}1)", "spread" + "(" * 5000, "x" * 20_000, "\x1b[31m\u202e"),
)
MEMBERS = ("evil:Agent", SHELL, "random", "../run", "/", "link", "link/checkpoints", "", "x" * 5000, "a\0b")
CONFIGS = (  # what a run's config.yaml may say
    *(f"game: {game}" for game in ("evil:Game", "gymnasium:evil.X-v0")),
    *("wrappers: ['evil:Wrapper']", "opponents: {agents: ['evil:Agent']}", "evaluation: {panel: ['evil:Agent']}"),
    *("algorithm: evil:Learner", "algorithm: {name: '../evil'}", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*c]"),
    *("!!python/object/apply:os.system ['touch canary']", "[" * 5000, "game: [" * 50),
)
TIC_TAC_TOE = "openspiel:tic_tac_toe"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run, a population and a tournament, the modules that hostile files name, and a precious file."""
    folder = tmp_path_factory.mktemp("stranger")
    bases = Bases(folder / "bases")
    for name in ("train.yaml", "tournament.yaml", "population.yaml", "run", "population", "tournament"):
        bases.copy(name, folder) if not (bases.folder / name).is_dir() else shutil.copytree(
            bases.folder / name, folder / name
        )
    for module in ("evil", "evil_v0"):
        (folder / f"{module}.py").write_text(CANARY)
    (folder / "precious").write_text("precious")
    return folder


class Attacks:
    """Commands with the exit code that they must end with, each in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.commands, self.codes = home, [], []
        self.checkpoint = sorted((home / "run" / "checkpoints").glob("[0-9]*"))[-1]

    def folder(self) -> Path:
        made = self.home / f"case{len(self.commands)}"
        made.mkdir()
        for module in self.home.glob("*.py"):
            shutil.copy(module, made)
        for config in self.home.glob("*.yaml"):
            shutil.copy(config, made)
        return made

    def add(self, code: int, folder: Path, *command: str) -> None:
        self.commands.append([str(folder), list(command)])
        self.codes.append(code)


def forged(checkpoint: Path, folder: Path, **changes: object) -> None:
    """Copy a checkpoint with changes of its JSON, as one of format 1, whose digest covers the agent alone."""
    shutil.copytree(checkpoint, folder)
    path = folder / "checkpoint.json"
    about = json.loads(path.read_text()) | {"format": 1} | changes
    about.pop("integrity", None)
    path.write_text(json.dumps(about))


def attack_checkpoints(attacks: Attacks) -> None:
    for game in GAMES:
        folder = attacks.folder()
        forged(attacks.checkpoint, folder / "gift", game=game)
        attacks.add(2, folder, "evaluate", "gift", "--seeds", "1")
    folder = attacks.folder()
    forged(attacks.checkpoint, folder / "gift", game=SHELL)
    attacks.add(0, folder, "evaluate", "gift", "--game", TIC_TAC_TOE, "--against", "random", "--seeds", "1")
    attacks.add(2, folder, "evaluate", "gift", "--solved")
    attacks.add(0, folder, "play", TIC_TAC_TOE, "--against", "gift")
    attacks.add(0, folder, "tournament", "run", "tournament.yaml", "--set", "agents=[gift, random]", "--run-dir", "t")
    attacks.add(0, folder, "train", "train.yaml", "--set", "opponents.agents=[gift]", "--run-dir", "mine")
    attacks.add(0, folder, "games", "check", TIC_TAC_TOE, "--episodes", "1")
    for algorithm in ("evil:Learner", "evil", "../evil", "subprocess:Popen"):
        folder = attacks.folder()
        forged(attacks.checkpoint, folder / "gift", algorithm=algorithm)
        attacks.add(2, folder, "evaluate", "gift", "--game", TIC_TAC_TOE, "--seeds", "1")


def attack_populations(attacks: Attacks) -> None:
    for member in MEMBERS:
        folder = attacks.folder()
        (folder / "link").symlink_to(attacks.home / "run")
        (folder / "population.json").write_text(json.dumps({"members": [{"id": "a", "checkpoint": member}]}))
        for text in (".", str(folder)):
            attacks.add(2, folder, "evaluate", "random", "--game", TIC_TAC_TOE, "--against", text, "--seeds", "1")
            changed = f"agents=['{text}', random]"
            attacks.add(2, folder, "tournament", "run", "tournament.yaml", "--set", changed, "--run-dir", "t")


def attack_runs(attacks: Attacks) -> None:
    for config in CONFIGS:
        folder = attacks.folder()
        shutil.copytree(attacks.home / "run", folder / "gift")
        path = folder / "gift" / "config.yaml"
        keys = [line.partition(":")[0] for line in config.splitlines()]
        kept = [block for block in path.read_text().split("\n") if block]
        told = {line.partition(":")[0] for line in kept} & set(keys)
        path.write_text("\n".join([*_without(kept, told), config]) + "\n")
        attacks.add(2, folder, "train", "train.yaml", "--run-dir", "gift", "--resume")
        with contextlib.suppress(FileNotFoundError):
            (folder / "gift" / "plot.png").unlink()
        code = 0 if config.startswith(("game: e", "game: g", "wrappers", "opponents", "evaluation", "algorithm")) else 2
        attacks.add(code, folder, "plot", "gift")
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        folder = attacks.folder()
        shutil.copytree(attacks.home / "run", folder / "gift")
        (folder / "gift" / name).write_text("[" * 100_000 + "\n")
        attacks.add(2, folder, "plot", "gift")
    folder = attacks.folder()
    shutil.copytree(attacks.home / "population", folder / "gift")
    (folder / "gift" / "members" / "a" / "config.yaml").write_text("game: evil:Game\nalgorithm: ippo\n")
    attacks.add(2, folder, "population", "population.yaml", "--run-dir", "gift", "--resume")


def _without(lines: list[str], keys: set[str]) -> list[str]:
    """Return the lines of a block of YAML without some keys and what stands below them."""
    kept, drop = [], False
    for line in lines:
        drop = line.partition(":")[0] in keys if not line.startswith(" ") else drop
        kept += [] if drop else [line]
    return kept


def attack_links(attacks: Attacks) -> None:
    resumed = ("train", "train.yaml", "--run-dir", "gift", "--resume", "--set", "steps=192")
    for name in ("metrics.jsonl", "evaluations.jsonl", "checkpoints"):
        folder = attacks.folder()
        shutil.copytree(attacks.home / "run", folder / "gift")
        path, target = folder / "gift" / name, attacks.home / "precious"
        if path.is_dir():
            target = attacks.home / f"elsewhere{len(attacks.commands)}"
            path.rename(target)
        else:
            path.unlink()
        path.symlink_to(target)
        attacks.add(2, folder, *resumed)
    for name in ("leaderboard.md", "leaderboard.csv", "report.html", "leaderboard.md.partial", "report.html.partial"):
        folder = attacks.folder()
        shutil.copytree(attacks.home / "tournament", folder / "gift")
        (folder / "gift" / name).unlink(missing_ok=True)
        (folder / "gift" / name).symlink_to(attacks.home / "precious")
        attacks.add(0, folder, "tournament", "report", "gift")
    folder = attacks.folder()
    shutil.copytree(attacks.home / "tournament", folder / "gift")
    (folder / "gift" / "matchups.png").symlink_to(attacks.home / "precious")
    attacks.add(2, folder, "tournament", "plot", "gift", "--out", "gift/matchups.png")
    shutil.move(folder / "gift" / "games.sqlite", attacks.home / "precious.sqlite")
    (folder / "gift" / "games.sqlite").symlink_to(attacks.home / "precious.sqlite")
    attacks.add(2, folder, "tournament", "run", "tournament.yaml", "--run-dir", "gift")


def attack_stores(attacks: Attacks) -> None:
    changes = [
        ("UPDATE agents SET reference = ?", SHELL),
        ("UPDATE agents SET name = ?", "evil:Agent"),
        ("UPDATE games SET game = ?", "evil:Game"),
        ("UPDATE meta SET value = ? WHERE key = 'game'", '"evil:Game"'),
        ("UPDATE meta SET value = ? WHERE key = 'spec'", "[" * 100_000),
        ("CREATE TRIGGER evil AFTER UPDATE ON meta BEGIN SELECT load_extension('evil', 'run'); END", None),
        ("CREATE TRIGGER evil AFTER INSERT ON agents BEGIN SELECT load_extension('evil'); END", None),
        ("CREATE VIEW evil AS SELECT load_extension('evil')", None),
    ]
    for statement, value in changes:
        rated = ("rate", "report", "plot", "plot --by simulations", "watch --once")
        for command in (*rated, "games --format json", "verify --agents", "run"):
            folder = attacks.folder()
            shutil.copytree(attacks.home / "tournament", folder / "gift")
            with contextlib.closing(sqlite3.connect(folder / "gift" / "games.sqlite")) as store:
                store.execute(statement, () if value is None else (value,))
                store.commit()
            if command == "run":
                attacks.add(None, folder, "tournament", "run", "tournament.yaml", "--run-dir", "gift")
            else:
                attacks.add(None, folder, "tournament", *command.split(), "gift")


def test_nothing_that_a_strangers_file_names_is_run(home):
    attacks = Attacks(home)
    for attack in (attack_checkpoints, attack_populations, attack_runs, attack_links, attack_stores):
        attack(attacks)
    warm = attacks.folder()
    for name in ("run", "tournament", "population"):
        shutil.copytree(home / name, warm / name)
    asked = {
        "hostile": attacks.commands,
        "warm": [
            [str(warm), command]
            for command in (
                ["evaluate", "run", "--against", "random", "--seeds", "1"],
                ["evaluate", "random", "--game", "pettingzoo:classic.rps_v2", "--seeds", "1"],
                ["evaluate", "random", "--game", "gymnasium:gymnasium.CartPole-v1", "--seeds", "1"],
                ["play", TIC_TAC_TOE, "--against", "run"],
                ["train", "train.yaml", "--run-dir", "run", "--resume", "--set", "steps=192"],
                ["train", "train.yaml", "--run-dir", "new", "--set", "opponents.agents=[run]"],
                ["plot", "run"],
                ["tournament", "run", "tournament.yaml", "--run-dir", "tournament"],
                ["tournament", "plot", "tournament"],
                ["tournament", "verify", "tournament", "--agents"],
                ["games", "check", TIC_TAC_TOE, "--episodes", "1"],
            )
        ],
    }
    (home / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-m", "tests.audited", str(home / "asked.json")],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    codes, heard, said = json.loads(done.stdout)
    wrong = [
        (command, code, text)
        for command, code, text, wanted in zip(attacks.commands, codes, said, attacks.codes, strict=True)
        if (code not in (0, 1, 2) if wanted is None else code != wanted) or "unexpected" in text
    ]
    assert wrong == []
    assert [line for line in heard if strange(line, home)] == []
    assert list(home.rglob("canary")) == []
    assert (home / "precious").read_text() == "precious"


def strange(line: str, home: Path) -> bool:
    """Say whether what the hook heard was a program, code of a stranger's, or what only a hostile file names."""
    if line == "ctypes.dlopen (None,)":  # the C library of this process itself: base/memory.py tunes it
        return False
    what, _, name = line.partition(" ")
    return (
        what not in ("import", "exec") or str(home) in name or Path(name).stem in ("evil", "evil_v0", "this", "shimmy")
    )


def test_the_canary_sings(tmp_path):
    """What a user types is run, and the test above would hear it."""
    (tmp_path / "evil.py").write_text(CANARY)
    asked = {
        "warm": [],
        "hostile": [[str(tmp_path), ["games", "check", "evil:Game"]], [str(tmp_path), ["games", "check", SHELL]]],
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-m", "tests.audited", str(tmp_path / "asked.json")], cwd=ROOT, capture_output=True, text=True
    )
    codes, heard, _ = json.loads(done.stdout)
    assert codes == [2, 2] and (tmp_path / "canary").exists() and f"exec {tmp_path / 'evil.py'}" in heard
    assert len([line for line in heard if line.startswith("subprocess.Popen ") and strange(line, tmp_path)]) == 1


def test_few_places_turn_text_into_code():
    """Whoever adds a place takes care that no file's text comes there."""
    found = {}
    for path, source in sources().items():
        for node in ast.walk(ast.parse(source)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("eval", "exec", "__import__") or called.endswith("import_module"):
                found.setdefault(path, set()).add(called)
    assert found.keys() == {
        "games/references.py",  # what a user types
        "games/adapters/sources.py",  # our own adapters
        "games/processes.py",  # our own workers
        "games/adapters/gymnasium.py",  # packages: of a file's game, those of `is_own` alone
        "games/adapters/pettingzoo.py",
        "marl/__init__.py",  # a table of the public names
        "marl/base/moved.py",  # a table of the modules that moved
        "marl/learning/backends.py",  # openvino
    }
