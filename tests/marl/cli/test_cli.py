import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from games.batch import Batch
from games.contract import Array, Box, Discrete, Spec
from games.errors import UserError
from marl.agents import checkpoint
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.cli.app import main
from marl.training.runlog import RunLog
from tournaments.records.store import Store

ROOT = Path(__file__).parents[3]
CONFIG = {
    "game": "openspiel:tic_tac_toe",
    "algorithm": {"name": "ippo", "hidden": [8]},
    "steps": 600,
    "stretch": 200,
    "num_envs": 8,
    "rollout_length": 16,
    "evaluation": {"panel": ["random"], "seeds": 2},
}


class Steering:
    """A game of one player who chooses a number: no algorithm here fits it."""

    spec = Spec("steering", 1, Array((1,)), Box(1, -1.0, 1.0), "general_sum", "sequential", True, False, False)

    def initial_state(self):
        return self


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with a config of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.yaml").write_text(json.dumps(CONFIG))
    (tmp_path / "population.yaml").write_text(json.dumps({"members": {"a": {"train": "train.yaml"}}, "workers": 1}))
    field = {"game": CONFIG["game"], "agents": ["random", "mcts(simulations=2)"], "seeds": 10, "workers": 1}
    (tmp_path / "tournament.yaml").write_text(json.dumps(field))
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run; who changes it copies it first."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.yaml").write_text(json.dumps(CONFIG))
    with pytest.raises(SystemExit) as left:
        main(["train", str(folder / "train.yaml"), "--run-dir", str(folder / "run")])
    assert left.value.code == 0
    return folder / "run"


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def strict_json(text):
    """Parse one JSON object; NaN and Infinity are not JSON."""

    def refuse(constant):
        raise ValueError(constant)

    data = json.loads(text, parse_constant=refuse)
    assert isinstance(data, dict)
    return data


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def one_sentence(complaint):
    assert complaint.startswith("marl: ") and complaint.endswith("\n") and complaint.count("\n") == 1
    assert "Traceback" not in complaint and "unexpected" not in complaint
    return complaint


BAD_INPUT = [
    ("train train.yaml --set stepz=3", "did you mean 'steps'"),
    ("train train.yaml --set algorithm.hiden=[8]", "did you mean 'hidden'"),
    ("train train.yaml --set evaluation.panle=[random]", "did you mean 'panel'"),
    ("train train.yaml --set steps=many", "--set steps: expected a whole number, got 'many'"),
    ("train train.yaml --set steps", "expected --set a.b=c"),
    ("train train.yaml --set game.rows=3", "no keys"),
    ("train train.yaml --set algorithm.name=ipo", "did you mean 'ippo'"),
    ("train train.yaml --set algorithm={}", "the key 'name' is missing in 'algorithm'"),
    ("train train.yaml --set steps=-1", "--set steps: expected a number above 0, got -1"),
    ("train train.yaml --set algorithm.name=boom:X", "--set algorithm.name: expected an importable module, got 'boom'"),
    ("train train.yaml --set evaluation.panel=[boom:X]", "--set evaluation.panel: expected an importable module"),
    ("train train.yaml --set opponents.agents=[boom:X]", "--set opponents.agents: expected an importable module"),
    ("train train.yaml --set wrappers=[agent_di]", "--set wrappers: "),
    ("tournament run connect_four --set agents=[boom]", "--set agents: expected one of random"),
    ("tournament run connect_four --set game=boom", "--set game: expected a known game, got 'boom'"),
    ("sweep train.yaml --grid algorithm.hidden=3,4", "(--grid algorithm.hidden): expected a list, got 3"),
    ("train connect_four", "`marl tournament run connect_four`; did you mean 'ippo_connect_four'?"),
    ("tournament run ippo_tic_tac_toe", "`marl train ippo_tic_tac_toe`"),
    ("tournament run train.yaml", "which is that of a training run; type `marl train train.yaml`"),
    ("trian", "expected a command of `marl`, got 'trian'; did you mean 'train'?"),
    ("tournment", "expected a command of `marl`, got 'tournment'; did you mean 'tournament'?"),
    ("tournament rn", "expected a command of `marl tournament`, got 'rn'; did you mean 'run'?"),
    ("games xyz", "got 'xyz'; there are list, table, show, check"),
    ("train trian.yaml", "did you mean 'train.yaml'"),
    ("train file", "expected keys and values"),
    ("train .", "name a file"),
    ("train train.yaml --device tpu", "auto, cpu, cuda or cuda:N, got 'tpu'"),
    ("train train.yaml --run-dir file/run", "cannot be written"),
    ("train train.yaml --set game=openspiel:tic_tac_to", "did you mean 'tic_tac_toe'"),
    ("train train.yaml --set game=tic_tac_toe", "did you mean 'openspiel:tic_tac_toe'"),
    ("train train.yaml --set game=openspeil:tic_tac_toe", "did you mean 'openspiel'"),
    ("train train.yaml --set game=openspiel:connect_four(row=5)", "did you mean 'rows'"),
    ("train train.yaml --set game=openspiel:connect_four(rows=many)", "could not load"),
    ("train train.yaml --set game=nowhere.games:Nim()", "or an importable module, got 'nowhere.games'"),
    ("train train.yaml --set game=tests.marl.cli.test_cli:Steerin()", "did you mean 'Steering'"),
    ("train train.yaml --set game=tests.marl.cli.test_cli:Steering(wheels=4)", "takes no arguments, got 'wheels'"),
    (
        'train train.yaml --set game=tests.marl.cli.test_cli:Steering() --set algorithm={"name":"muzero"}',
        "muzero needs discrete actions",
    ),
    ("train train.yaml --set evaluation.panel=[randm]", "did you mean 'random'"),
    ("train train.yaml --set opponents.agents=[runs/x]", "does not exist"),
    ("population population.yaml --set members.a.trian=train.yaml", "did you mean 'train'"),
    ('population population.yaml --set members.a.set={"stepz":3}', "did you mean 'steps'"),
    ("population population.yaml --run-dir file/run", "cannot be written"),
    ("evaluate random", "--game"),
    ("evaluate random --game openspiel:tic_tac_to", "did you mean 'tic_tac_toe'"),
    ("evaluate randm --game openspiel:tic_tac_toe", "did you mean 'random'"),
    ("evaluate mcts(simulation=3) --game openspiel:tic_tac_toe", "did you mean 'simulations'"),
    ("evaluate mcts --game openspiel:kuhn_poker", "perfect information"),
    ("evaluate runs/nowhere", "does not exist; name a run's folder, as `marl train` makes it"),
    ("evaluate .", "holds no checkpoint; name a run's folder, as `marl train` makes it"),
    ("evaluate random --game openspiel:tic_tac_toe --seeds 0", "'--seeds'"),
    ("evaluate random --game openspiel:tic_tac_toe --draws 50", "leave it out without them, got 50"),
    ("evaluate random --game openspiel:tic_tac_toe --solved --draws 50", "leave it out without them, got 50"),
    ("evaluate random --game openspiel:tic_tac_toe --solved --seeds 100", "leave --seeds out, got 100"),
    ("evaluate random --game openspiel:tic_tac_toe --solved --opening-moves 2", "leave --opening-moves out, got 2"),
    ("evaluate random --game openspiel:tic_tac_toe --solved --against random", "leave --against out, got random"),
    (
        "evaluate random --game openspiel:tic_tac_toe --solved --positions phases",
        "--positions is for openspiel:connect",
    ),
    ("evaluate random --game openspiel:connect_four --positions phases", "--positions is for --solved; leave it out"),
    (
        "evaluate random --game openspiel:connect_four --solved --positions all",
        "one of thousand, phases, openings, got 'all'",
    ),
    ("evaluate random --game openspiel:kuhn_poker --nash-conv --seeds 9", "--nash-conv goes through positions"),
    ("tournament run tournament.yaml --set agent=[random]", "did you mean 'agents'"),
    ("tournament run tournament.yaml --set game=openspiel:tic_tac_to", "did you mean 'tic_tac_toe'"),
    ("tournament run tournament.yaml --set agents=[random]", "at least 2 agents"),
    ("tournament run tournament.yaml --run-dir file/run", "file/run"),
    ("tournament rate nowhere.sqlite", "does not exist; `marl tournament run` makes one"),
    ("tournament rate .", "does not exist"),
    ("tournament report file", "which is not one"),
    ("tournament plot nowhere.sqlite", "does not exist"),
    ("tournament games nowhere.sqlite", "does not exist"),
    ("tournament games file", "which is not one"),
    ("tournament verify nowhere.sqlite", "does not exist"),
    ("tournament verify file", "which is not one"),
    ("tournament watch nowhere.sqlite --once", "does not exist"),
    ("tournament watch file", "which is not one"),
    ("tournament run tournament.yaml --set agents=[random,tit_for_tat]", "tit_for_tat plays matrix games"),
    ("evaluate tit_for_tat --game matrix(game=chicken,steps=9)", "add memory=true"),
    ("evaluate tit_for_tat", "'tit_for_tat' knows no game of its own"),
    ("games show openspiel:tic_tac_to", "did you mean 'tic_tac_toe'"),
    ("games show openspiel:tic_tac_toe --json --seed 0", "leave --seed 0 out"),
    ("games show openspiel:tic_tac_toe --json --views", "leave --views out"),
    ("games check openspiel:tic_tac_toe --episodes 0", "'--episodes'"),
    ("play gymnasium:gymnasium.Pendulum-v1 --against random", "needs moves to choose among"),
    ("play openspiel:tic_tac_toe --against random --seat 2", "seats 0 to 1"),
    ("play openspiel:tic_tac_toe --against randm", "did you mean 'random'"),
    ("play openspiel:tic_tac_toe", "'--against'"),
    ("train", "config"),
    ("train train.yaml --steps 3", "--steps"),
    ("train train.yaml --until -3", "'--until': expected a number of at least 1, got '-3'"),
    ("sweep train.yaml --seeds 0", "'--seeds': expected a number of at least 1, got '0'"),
    ("sweep train.yaml --seeds two", "'--seeds': expected a whole number, got 'two'"),
    ("trian train.yaml", "'train'"),
    ("games", ""),
    (f"train {300 * 'x'}.yaml", "File name too long"),
    (f"train train.yaml --run-dir {5000 * 'x'}", "File name too long"),
    (f"evaluate {300 * 'x'}", "File name too long"),
    ("evaluate random --game openspiel:tic_tac_toe --seeds 9223372036854775808", "--seeds"),
    ("plot loop/run", "Too many levels of symbolic links"),
    (f"plot {300 * 'x'}", "File name too long"),
    (f"tournament rate {300 * 'x'}", "File name too long"),
]


@pytest.mark.parametrize(("command", "reason"), BAD_INPUT)
def test_bad_input(folder, marl, command, reason):
    before = contents(folder)
    exit_code, printed, complaint = marl(*command.split())
    assert exit_code == 2
    if reason:
        assert reason in one_sentence(complaint) and printed == ""
    else:  # a group of commands alone prints its help
        assert "Usage" in printed + complaint and "marl: " not in complaint
    assert contents(folder) == before


SHOWS, LINE = "tests.games.test_spaces:Shows", "tests.marl.cli.test_cli:Line"
BOTH_KINDS = "expected actions all discrete, or all boxes of floats between finite bounds"
NOT_FOR = [  # a learner, a game, and why the learner cannot learn it
    ("maddpg", f"{SHOWS}(action=three, other=uneven)", BOTH_KINDS),
    ("mappo", f"{SHOWS}(action=uneven, other=three)", BOTH_KINDS),
    ("ippo", f"{SHOWS}(action=unbounded)", "scale_actions(low=-1, high=1)'"),
    ("maddpg", f"{SHOWS}(action=half)", "scale_actions(low=-1, high=1)'"),
    ("maddpg", f"{SHOWS}(action=levels)", "Shows(action='levels') | flatten_actions'"),
    ("mappo", f"{LINE}(high=inf)", "expected finite bounds of the actions of 'line', low first"),
    ("mappo", f"{LINE}(high=-2)", "expected finite bounds of the actions of 'line', low first"),
    ("maddpg", f"{LINE}(dtype=complex64)", "to be one of real numbers, such as 'float32' or 'uint8', got 'complex64'"),
    ("mappo", f"{LINE}(dtype=float33)", "to be one of real numbers, such as 'float32' or 'uint8', got 'float33'"),
    ("mappo", f"{LINE}(dtype=object)", "to be one of real numbers, such as 'float32' or 'uint8', got 'object'"),
    ("maddpg", "spread", "maddpg needs continuous actions, and those of 'spread' are discrete: choose mappo"),
    ("maddpg", "openspiel:tic_tac_toe", "maddpg needs continuous actions"),
    ("qmix", "spread(continuous_actions=true) | team_reward", "discrete actions"),
    ("conditional_mappo", "spread(continuous_actions=true) | team_reward", "conditional_mappo needs discrete actions"),
    ("conditional_mappo", "spread", "'spread' is general_sum: choose ippo or mappo, or append ' | team_reward'"),
    ("happo", "openspiel:tic_tac_toe", "'openspiel:tic_tac_toe' is zero_sum: choose ippo or mappo"),
    ("qmix", "spread", "team_reward"),
    ("minimax_dqn", "spread", "zero-sum"),
    ("alphazero", "spread(continuous_actions=true)", "alphazero needs positions to search, and 'spread' has none"),
    ("loqa", "spread(continuous_actions=true)", ""),
]


class Line(Batch):
    """One player chooses a number from -1 to `high`."""

    def __init__(self, num_envs, high=1.0, dtype="float32"):
        action = Box(1, -1.0, float(high))
        super().__init__(
            Spec("line", 1, Array((1,), dtype), action, "team", "simultaneous", True, False, False), num_envs, 3, False
        )

    def open(self, envs):
        pass

    def move(self, actions):
        return np.zeros(self.num_envs, bool)

    def look(self):
        pass


class Torn(Line):
    """It says that it is a team's, and pays its members differently."""

    def __init__(self, num_envs):
        spec = Spec("torn", 2, Array((1,)), Discrete(2), "team", "simultaneous", True, False, False)
        Batch.__init__(self, spec, num_envs, 3, False)

    def move(self, actions):
        self.timestep.reward[:] = [0, 1]
        return super().move(actions)


@pytest.mark.parametrize(("learner", "game", "reason"), NOT_FOR)
def test_a_game_that_does_not_fit_is_refused(folder, marl, learner, game, reason):
    """In one sentence, before anything is written."""
    (folder / "other.yaml").write_text(json.dumps(CONFIG | {"game": game, "algorithm": {"name": learner}}))
    before = contents(folder)
    exit_code, printed, complaint = marl("train", "other.yaml", "--run-dir", "run", "--set", "evaluation.panel=[self]")
    assert exit_code == 2 and reason in one_sentence(complaint), complaint
    assert printed == "" and contents(folder) == before


@pytest.mark.parametrize("learner", ["happo", "conditional_mappo", "qmix", "mappo"])
def test_a_team_whose_members_are_paid_differently_fails(folder, marl, learner):
    """It shows in play, so it is a failure of the run."""
    game = "tests.marl.cli.test_cli:Torn"
    (folder / "torn.yaml").write_text(json.dumps(CONFIG | {"game": game, "algorithm": {"name": learner}}))
    exit_code, _, complaint = marl("train", "torn.yaml", "--run-dir", "run", "--set", "evaluation.panel=[self]")
    assert exit_code == 1 and "paid members of a team differently (pay all the same" in one_sentence(complaint)


def test_bad_input_of_a_process(folder):
    before = contents(folder)
    command = [sys.executable, "-m", "marl", "train", "train.yaml", "--set", "stepz=3"]
    said = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (2, "") and "'steps'" in one_sentence(said.stderr)
    said = subprocess.run([*command, "--debug"], cwd=folder, env=environment(), capture_output=True, text=True)
    assert "Traceback" in said.stderr and said.stderr.rstrip().endswith("did you mean 'steps'?")
    assert contents(folder) == before


def test_debug_raises(folder):
    with pytest.raises(UserError, match="did you mean 'steps'"):
        main(["train", "train.yaml", "--set", "stepz=3", "--debug"])


def test_the_unexpected(folder, marl, monkeypatch):
    monkeypatch.setattr(Ippo, "__init__", lambda *arguments, **more: 1 / 0)
    exit_code, _, complaint = marl("train", "train.yaml")
    assert exit_code == 1 and complaint.count("\n") == 1 and "ZeroDivisionError" in complaint and "--debug" in complaint
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "train", "train.yaml"])


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the interpreter writes the last bytes as it ends, or at once
@pytest.mark.parametrize("command", ["games list", "games list --json"])
def test_an_output_that_is_full(command, unbuffered):
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            [sys.executable, "-m", "marl", *command.split()],
            env=environment() | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert said.returncode == 1 and "No space left" in one_sentence(said.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_is_gone(unbuffered):
    read, write = os.pipe()
    os.close(read)
    said = subprocess.run(
        [sys.executable, "-m", "marl", "games", "list"],
        env=environment() | {"PYTHONUNBUFFERED": unbuffered},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert said.returncode == 1 and said.stderr == ""


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_too_little_memory(folder, marl, monkeypatch, error):
    def full(*arguments, **more):
        raise error

    monkeypatch.setattr(Ippo, "__init__", full)
    exit_code, _, complaint = marl("train", "train.yaml")
    assert exit_code == 1 and "not enough memory" in one_sentence(complaint)
    exit_code, _, complaint = marl("population", "population.yaml", "--run-dir", "new")
    assert exit_code == 1 and "not enough memory" in one_sentence(complaint)


class Absent:
    """An import hook: a package that is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("ray", "ray", "tournament run tournament.yaml --set engine=ray"),
        ("ray", "ray", "population population.yaml --set engine=ray"),
        ("ray", "ray", "sweep train.yaml --engine ray"),
        ("mpe2", "mpe", "train train.yaml --set game=pettingzoo:mpe2.simple_spread_v3"),
        ("mpe2", "mpe", "games check pettingzoo:mpe2.simple_spread_v3(N=2)"),
    ],
)
def test_an_optional_package_that_is_missing(folder, marl, monkeypatch, package, extra, command):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    if package == "ray":
        monkeypatch.setitem(sys.modules, package, None)  # it is asked for without an import
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])
    before = contents(folder)
    exit_code, _, complaint = marl(*command.split())
    assert exit_code == 2 and f"pip install 'marl[{extra}]'" in one_sentence(complaint)
    assert contents(folder) == before


def test_a_plug_in_whose_package_is_missing(folder, marl, monkeypatch):
    (folder / "plug_in_games.py").write_text("import a_package_that_is_absent\n")
    monkeypatch.syspath_prepend(folder)
    exit_code, _, complaint = marl("games", "show", "plug_in_games:Nim()")
    assert exit_code == 2 and "'plug_in_games' needs the package 'a_package_that_is_absent'" in one_sentence(complaint)


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: _flip(folder / "agent.safetensors"), "sha256 differs"),
        (lambda folder: (folder / "agent.safetensors").unlink(), "lacks agent.safetensors"),
        (lambda folder: (folder / "checkpoint.json").write_text('{"format": 1, "algo'), "is no JSON of a checkpoint"),
        (lambda folder: (folder / "checkpoint.json").write_text('{"format": 99}'), "format 99"),
        (lambda folder: (folder / "checkpoint.json").unlink(), "holds no checkpoint"),
    ],
)
def test_a_checkpoint_that_was_tampered_with(folder, marl, trained, harm, reason):
    newest = checkpoint.newest(trained)
    shutil.copytree(newest, folder / "copy")
    harm(folder / "copy")
    before = contents(folder)
    exit_code, _, complaint = marl("evaluate", "copy", "--game", CONFIG["game"])
    assert exit_code == 2 and reason in one_sentence(complaint)
    assert contents(folder) == before


def test_a_checkpoint_of_another_game(folder, marl, trained):
    exit_code, _, complaint = marl("evaluate", trained, "--game", "openspiel:connect_four")
    assert exit_code == 2 and "was trained on 'openspiel:tic_tac_toe'" in one_sentence(complaint)


def test_a_folder_that_holds_a_run(folder, marl, trained):
    shutil.copytree(trained, folder / "run")
    before = contents(folder)
    exit_code, _, complaint = marl("train", "train.yaml", "--run-dir", "run")
    assert exit_code == 2 and "already holds a run" in one_sentence(complaint) and "--resume" in complaint
    exit_code, _, complaint = marl("train", "train.yaml", "--run-dir", "run", "--resume", "--set", "seed=1")
    assert exit_code == 2 and "begun with seed: 0" in one_sentence(complaint)
    exit_code, printed, complaint = marl("train", "train.yaml", "--run-dir", "run", "--resume")
    assert exit_code == 0 and "nothing to do" in printed and complaint == ""
    kept = (folder / "run" / "config.yaml").read_text()
    assert marl("train", "train.yaml", "--run-dir", "run", "--resume", "--set", "steps=1")[0] == 0
    assert (folder / "run" / "config.yaml").read_text() == kept  # it was trained to more than that
    assert contents(folder) == before


def test_no_command_works_in_a_runs_folder(folder, marl, trained):
    """Trap: a tournament wrote its config over that of a training run, which could not go on then."""
    shutil.copytree(trained, folder / "run")
    before = contents(folder)
    for command in (
        "tournament run tournament.yaml --run-dir run",
        "sweep train.yaml --seeds 1 --run-dir run",
        "sweep train.yaml --seeds 1 --run-dir run --resume",
        "population population.yaml --run-dir run",
    ):
        code, _, complaint = marl(*command.split())
        assert code == 2 and "holds a training run" in one_sentence(complaint), command
        assert contents(folder) == before
    (folder / "run" / "config.yaml").write_text("game: openspiel:tic_tac_toe\nagents: [random, 'mcts']\n")
    for resume in ([], ["--resume"]):
        code, _, complaint = marl("train", "train.yaml", "--run-dir", "run", *resume)
        assert code == 2 and "holds a tournament, and a training run needs a folder" in one_sentence(complaint)


def steps_of(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_loss_that_is_not_finite(folder, marl, monkeypatch):
    update, calls = Ippo.update, []

    def broken(self, trajectory, mine):
        calls.append(trajectory.steps)
        return update(self, trajectory, mine) | ({"policy_loss": np.nan} if sum(calls) > 300 else {})

    with monkeypatch.context() as patch:
        patch.setattr(Ippo, "update", broken)
        exit_code, _, complaint = marl("train", "train.yaml", "--run-dir", "run")
    assert exit_code == 1 and "'policy_loss' is not finite" in one_sentence(complaint)
    check_kept_and_resumable(folder, marl)


@pytest.mark.parametrize("fails", ["checkpoint", "log"])
def test_full_disk(folder, marl, monkeypatch, fails):
    sync, flush, writes = checkpoint._sync, RunLog.flush, []

    def full(*arguments):
        writes.append(arguments)
        # A checkpoint is three files and two folders; logs are flushed before and after an evaluation.
        if len(writes) > (11 if fails == "checkpoint" else 4):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return (sync if fails == "checkpoint" else flush)(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(*((checkpoint, "_sync") if fails == "checkpoint" else (RunLog, "flush")), full)
        exit_code, _, complaint = marl("train", "train.yaml", "--run-dir", "run")
    assert exit_code == 1 and "No space left on device" in one_sentence(complaint)
    check_kept_and_resumable(folder, marl)


def check_kept_and_resumable(folder, marl):
    """The last good checkpoint plays and is resumed from; the log has no step twice."""
    steps = [int(path.name) for path in sorted((folder / "run" / "checkpoints").iterdir())]
    assert len(steps) == 2 and 200 <= steps[1] < 400
    assert marl("evaluate", "run", "--seeds", 2, "--json")[0] == 0
    exit_code, printed, _ = marl("train", "train.yaml", "--run-dir", "run", "--resume")
    assert exit_code == 0 and f"goes on from step {steps[1]}" in printed
    logged = steps_of(folder / "run")
    assert sorted(set(logged)) == logged and logged[-1] >= CONFIG["steps"]


HOSTILE = [
    ("[/red]x", "[/red]x"),
    ("[bold]y", "[bold]y"),
    ("[link=x] :smile: $\\frac{$", "[link=x] :smile: $\\frac{$"),
    ("\x1b]0;pwned\x07\x1b[2Jz", r"\x1b]0;pwned\x07\x1b[2Jz"),
    ("\x9b2J\u202etxt\u200b\n", r"\x9b2J\u202etxt\u200b\n"),
]


@pytest.mark.parametrize(("name", "spelled"), HOSTILE)
def test_names_are_shown_as_they_are_written(folder, marl, trained, name, spelled):
    said = []
    exit_code, printed, complaint = marl("train", "train.yaml", "--run-dir", f"m/{name}", "--set", "steps=100")
    assert (
        (exit_code, complaint) == (0, "")
        and f"m/{spelled}: starts afresh" in printed
        and f"m/{spelled}: step" in printed
    )
    said.append(printed)
    shutil.copytree(trained, folder / "other")
    for command in (
        ("train", "train.yaml", "--run-dir", f"m/{name}", "--set", "steps=100", "--resume"),
        ("plot", f"m/{name}", "--metric", "entropy"),
        ("plot", f"m/{name}", "other", "--out", "both.svg"),
    ):
        exit_code, printed, complaint = marl(*command)
        assert (exit_code, complaint) == (0, "")
        said.append(printed)
    assert spelled in said[1] and f"curves: m/{spelled}/plot.png" in said[2]
    exit_code, printed, complaint = marl("evaluate", "random", "--game", f"m/{name}")
    assert exit_code == 2 and not set(one_sentence(complaint)) & COMMANDS
    assert not set("".join(said)) & COMMANDS


COMMANDS = set("\x1b\x07\x9b\u202e\u200b\r")  # what a terminal obeys, or nobody sees


class Shouting:
    """An agent whose error is long, has lines, and is a command to the terminal."""

    def initial_hidden(self, rows):
        return None

    def act(self, view, hidden):
        raise ValueError("\x1b[2J[/red]\n" * 10_000)


def test_a_message_is_one_sentence_of_500_letters_at_most(folder, marl):
    exit_code, _, complaint = marl("evaluate", "tests.marl.cli.test_cli:Shouting()", "--game", CONFIG["game"])
    assert exit_code == 1 and len(complaint) <= 501 and complaint.count("\n") == 1 and not set(complaint) & COMMANDS
    assert "Shouting" in complaint and r"\x1b[2J[/red]" in complaint
    for command in (
        ("evaluate", "x" * 5_000, "--game", CONFIG["game"]),
        ("evaluate", "random", "--game", "\x1b[2J\n" * 999),
        ("train", "\u202e" * 999),
        ("\x1b[2J" * 999,),
        ("train", "train.yaml", "--set", f"{'a' * 999}.b=\x1b"),
        ("tournament", "rate", "\x9b" * 99),
        ("tournament", "rate", "x" * 5_000),
        *((command, f"{command}.yaml", "--run-dir", "a\udcff") for command in ("train", "population")),
        ("tournament", "run", "tournament.yaml", "--run-dir", "a\udcff"),
        ("sweep", "train.yaml", "--run-dir", "a\udcff"),
        ("plot", "x" * 5_000),
    ):
        exit_code, _, complaint = marl(*command)
        assert exit_code == 2 and len(complaint) <= 501 and not set(one_sentence(complaint)) & COMMANDS


def test_a_traceback_is_no_command(folder):
    command = [sys.executable, "-m", "marl", "--debug", "evaluate", "random", "--game", "a\x1b[2J"]
    said = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert said.returncode == 1 and "Traceback" in said.stderr and r"got 'a\x1b[2J'" in said.stderr
    assert not set(said.stderr) & COMMANDS


def test_names_in_a_store_are_shown_as_they_are_written(folder, marl):
    """Of a tournament whose agents somebody else has named: on the terminal, in its files and in its pictures."""
    assert marl("tournament", "run", "tournament.yaml", "--run-dir", "run")[0] == 0
    with Store(folder / "run" / "games.sqlite", create=True) as store:
        for place, agent in enumerate(store.agents()):
            store.add_agent(agent.id, HOSTILE[place + 2][0], f"mcts(simulations={place + 1})")
    shown = (
        "rate run",
        "report run",
        "plot run",
        "plot run --by simulations",
        "watch run --once",
        "verify run --agents",
    )
    exported = ("games run", "games run --format json", "games run --format pgn")
    for command in (*shown, *exported):
        exit_code, printed, complaint = marl("tournament", *command.split())
        assert (exit_code, complaint) == (0, "") and not set(printed) & COMMANDS
    assert sorted(path.name for path in (folder / "run").glob("*.png")) == ["elo_by_simulations.png", "matchups.png"]
    assert r"\x1b]0;pwned" in marl("tournament", "rate", "run")[1]


def test_interrupted(folder, marl):
    command = [
        sys.executable,
        "-m",
        "marl",
        "train",
        "train.yaml",
        "--run-dir",
        "run",
        "--set",
        "steps=1_000_000",
    ]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and len(list(folder.glob("run/checkpoints/*/checkpoint.json"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130 and "--resume" in one_sentence(complaint.decode())
    step = int(checkpoint.newest(folder / "run").name)
    exit_code, printed, complaint = marl(
        *("train", "train.yaml", "--run-dir", "run", "--resume", "--set", f"steps={step + 200}")
    )
    assert exit_code == 0 and f"goes on from step {step:,}" in printed and complaint == ""
    logged = steps_of(folder / "run")
    assert sorted(set(logged)) == logged and logged[-1] >= step + 200


def test_evaluate_json(folder, marl, trained):
    alone = {}
    for against in ([], ["random"], ["self", "random", "mcts(simulations=9)"]):
        options = [word for name in against for word in ("--against", name)]
        exit_code, printed, complaint = marl("evaluate", trained, *options, "--seeds", 3, "--json")
        found = strict_json(printed)
        assert exit_code == 0 and complaint == "" and found["game"] == CONFIG["game"]
        assert [one["against"] for one in found["evaluations"]] == (against or ["self"])
        for one in found["evaluations"]:
            assert one["episodes"] == (3 if one["against"] == "self" else 6)
            assert len(one["return_mean"]) == len(one["return_ci95"]) == 2
            assert all(-1 <= mean <= 1 for mean in one["return_mean"])
            assert alone.setdefault(one["against"], one) == one  # whoever else was asked for
    _, printed, _ = marl("evaluate", "random", "--game", "openspiel:kuhn_poker(players=3)", "--seeds", 1, "--json")
    assert strict_json(printed)["evaluations"][0]["return_ci95"] == [None] * 3  # one episode shows no spread
    shown = marl("evaluate", trained, "--seeds", 3)[1]
    assert "mean return" in shown and "seat" in shown and "player" not in shown


def test_tournament_json(folder, marl):
    exit_code, printed, _ = marl("tournament", "run", "tournament.yaml", "--run-dir", "run", "--json")
    report = strict_json(printed)
    assert list(report)[:2] == ["game", "opening_moves"] and report["game"] == CONFIG["game"]
    assert exit_code == 0 and all(Path(path).is_file() for path in report["files"].values())
    for store in ("run", "run/games.sqlite"):
        exit_code, printed, complaint = marl("tournament", "rate", store, "--json")
        rated = strict_json(printed)
        assert exit_code == 0 and complaint == "" and rated == {k: v for k, v in report.items() if k != "files"}
    assert {line["agent"] for line in rated["ratings"]} == {"random", "mcts(simulations=2)"}
    assert all(line["games"] == 20 and line["ci95"] > 0 and "elo" in line for line in rated["ratings"])
    assert [sorted(part) for part in rated["parts"]] == [["mcts(simulations=2)", "random"]]
    assert "Elo" in marl("tournament", "rate", "run")[1]
    assert "report.html" in marl("tournament", "report", "run")[1]
    exit_code, printed, _ = marl("tournament", "plot", "run", "--out", "table.png", "--json")
    drawn = strict_json(printed)
    assert exit_code == 0 and drawn["file"] == "table.png" and (folder / "table.png").is_file()
    assert drawn["matchups"]["unit"] == "game" and sorted(drawn["matchups"]["agents"]) == [
        "mcts(simulations=2)",
        "random",
    ]


def test_games_json(marl):
    listed = strict_json(marl("games", "list", "--json")[1])
    assert "openspiel:tic_tac_toe" in listed["games"]
    shown = strict_json(marl("games", "show", "openspiel:connect_four(rows=5)", "--json")[1])
    assert shown["num_players"] == 2 and shown["observation"]["shape"] == [3, 5, 7]
    assert "openspiel:tic_tac_toe\n" in marl("games", "list")[1]
    assert "num_players" in marl("games", "show", "openspiel:tic_tac_toe")[1]


def test_games_check_says_how_far_it_is(marl, monkeypatch):
    monkeypatch.setattr("marl.base.display.QUIET", 0)
    exit_code, printed, said = marl("games", "check", "openspiel:tic_tac_toe", "--episodes", 3)
    assert exit_code == 0 and printed.startswith("openspiel:tic_tac_toe: passed")
    lines = said.splitlines()
    assert lines[0] == "openspiel:tic_tac_toe: 0 of 3 episodes, 0 steps"
    assert lines[-1] == "openspiel:tic_tac_toe: checking: steps agree with positions, returns with rewards"


@pytest.mark.parametrize("game", ["phantom_ttt", "tests.games.test_check:Hidden", "openspiel:tic_tac_toe | messy"])
def test_a_tournament_with_a_search_that_the_game_cannot_serve_is_refused(folder, marl, game):
    game = game if ":" in game else f"openspiel:{game}"
    field = {"game": game, "agents": ["random", "uct(simulations=2)"], "seeds": 2, "workers": 1}
    (folder / "hidden.yaml").write_text(json.dumps(field))
    before = contents(folder)
    exit_code, printed, complaint = marl("tournament", "run", "hidden.yaml")
    assert (exit_code, printed) == (2, "") and contents(folder) == before
    assert "uct draws positions that a player cannot tell from the true one" in one_sentence(complaint)
    assert "add `resample(player, key)` and `information(player)` to the positions" in complaint


def test_games_check(marl):
    exit_code, printed, _ = marl("games", "check", "openspiel:tic_tac_toe", "--episodes", 3, "--json")
    report = strict_json(printed)
    assert exit_code == 0 and report["passed"] is True and report["promises"]
    assert report["game"] == "openspiel:tic_tac_toe"
    assert marl("games", "check", "openspiel:tic_tac_toe", "--episodes", 3)[0] == 0


def test_algorithms(marl):
    assert {"name": "ippo", "learner": "marl.algorithms.policy_gradient.ippo:Ippo"} in strict_json(
        marl("algorithms", "--json")[1]
    )["algorithms"]
    assert "ippo: Independent PPO" in marl("algorithms")[1]


def test_population(folder, marl):
    exit_code, printed, complaint = marl("population", "population.yaml", "--run-dir", "run")
    assert exit_code == 0 and "a: trained" in printed and complaint == ""
    again = marl("population", "population.yaml", "--run-dir", "run")
    assert again[0] == 2 and "already holds the member 'a'" in one_sentence(again[2])
    exit_code, printed, _ = marl("evaluate", "run/members/a(greedy=true)", "--seeds", 2, "--json")
    assert exit_code == 0 and strict_json(printed)["evaluations"][0]["episodes"] == 2
    (folder / "run/population.json").unlink()
    (folder / "run/population.json").mkdir()
    exit_code, _, complaint = marl("population", "population.yaml", "--run-dir", "run", "--resume")
    assert exit_code == 1 and "'run/population.json' could not be written" in one_sentence(complaint)


def test_play(folder):
    command = [sys.executable, "-m", "marl", "play", CONFIG["game"], "--against", "random", "--seed", "1"]
    moves = "".join(f"x({row},{column})\n" for row in range(3) for column in range(3))
    said = subprocess.run(command, cwd=folder, env=environment(), input=f"a1\n{moves}", capture_output=True, text=True)
    assert said.returncode == 0 and said.stderr == ""
    assert "'a1' is not one of the moves" in said.stdout and "random (player 1) plays o(" in said.stdout
    assert any(f"{verdict} after" in said.stdout for verdict in ("You won", "You lost", "A draw"))
    said = subprocess.run(command, cwd=folder, env=environment(), input="", capture_output=True, text=True)
    assert said.returncode == 0 and said.stderr == "" and said.stdout.endswith("You left the game.\n")


def test_evaluate_against_the_truth(marl):
    code, printed, _ = marl(
        "evaluate", "mcts(simulations=20)", "--game", "openspiel:connect_four", "--solved", "--json"
    )
    found = json.loads(printed)
    assert code == 0 and list(found)[:2] == ["agent", "game"] and found["game"] == "openspiel:connect_four"
    assert found["positions"] == 1000 and 0.4 < found["overall"] < 0.8
    low, high = found["intervals"]["all"]
    assert low < found["overall"] < high and found["counts"]["21-24"] == 332
    code, printed, _ = marl("evaluate", "random", "--game", "openspiel:tic_tac_toe", "--solved")
    assert code == 0 and "lost" in printed
    code, _, complaint = marl("evaluate", "random", "--game", "spread", "--solved")
    assert code == 2 and "leave --solved out" in complaint
