import os
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from marl.base.threads import threads_kept, use_one_thread


def test_native_windows_is_refused_before_anything_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "marl.cli.app", None)  # importing it would fail
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("marl", run_name="__main__")
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("marl: expected Linux, macOS or WSL2")


def test_linear_algebra_has_one_thread_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.setitem(sys.modules, "marl.cli.app", SimpleNamespace(main=lambda: None))
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    runpy.run_module("marl", run_name="__main__")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    runpy.run_module("marl", run_name="__main__")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


COMMANDS = """
import sys
from marl.cli.app import main

for arguments in (
    ["evaluate", "random", "--game", "openspiel:tic_tac_toe", "--against", "mcts(simulations=2)", "--seeds", "2"],
    ["tournament", "run", "tournament.yaml", "--run-dir", "played"],
):
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code, ended.code
slow = {"torch", "safetensors.torch", "matplotlib", "ray", "pandas"} & sys.modules.keys()
assert not slow, slow
"""


def test_agents_without_weights_play_without_torch(tmp_path):
    """It takes 2 CPU-seconds to import: more than these commands and their workers need altogether."""
    tournament = "game: openspiel:tic_tac_toe\nagents: [random, 'uct(simulations=2)']\nseeds: 2\n"
    (tmp_path / "tournament.yaml").write_text(tournament)
    done = subprocess.run([sys.executable, "-c", COMMANDS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["marl.training.collectors", "tournaments.playing.match"])
def test_worker_processes_begin_without_scipy(module):
    """It takes 0.3 CPU-seconds to import, and each worker of a run or a tournament would import it."""
    asked = f"import sys, {module}; print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "False\n"


def test_torch_computes_with_one_thread_whenever_it_is_imported(monkeypatch):
    asked = "import torch; print(torch.get_num_threads())"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    try:
        with threads_kept():
            use_one_thread()
            assert torch.get_num_threads() == 1
            done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
            assert done.stdout == "1\n"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
