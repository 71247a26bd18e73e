"""What a search cannot play is refused in one sentence, before anything is written."""

import re
from dataclasses import replace

import pytest

from games.contract import Discrete
from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrant
from marl.algorithms.zero.alphazero import AlphaZero, AlphaZeroConfig
from marl.cli.app import main
from marl.training.config import TrainConfig
from marl.training.train import train

TINY = {"name": "alphazero", "simulations": 2, "channels": 4, "blocks": 1, "batch_size": 16, "sampled_moves": 2}


def spec_of(game):
    return make(game, 1).spec


@pytest.fixture(scope="module")
def hex_5x5(tmp_path_factory):
    """The first checkpoint of a run at hex on 25 cells."""
    config = TrainConfig(
        game="openspiel:hex(board_size=5)",
        algorithm=TINY,
        steps=1,
        num_envs=2,
        rollout_length=4,
        evaluation={"panel": ["random"], "seeds": 1},
    )
    folder = tmp_path_factory.mktemp("hex") / "run"
    train(config, folder, resume=False, device="cpu")
    return folder


def said(capsys, *arguments):
    """Return what a command that must fail says, a sentence on a line of its own."""
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    assert left.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1 and complaint.startswith("marl: ")
    return complaint


def test_a_run_of_a_smaller_board(hex_5x5, capsys, tmp_path):
    larger = "openspiel:hex(board_size=7)"
    for arguments in (
        ("evaluate", hex_5x5, "--game", larger),
        ("evaluate", "random", "--game", larger, "--against", hex_5x5),
        ("evaluate", f"{hex_5x5}(search=false)", "--game", larger, "--solved"),
    ):
        complaint = said(capsys, *arguments)
        assert "was trained on 'openspiel:hex(board_size=5)', whose views (shape [9, 5, 5]" in complaint
        assert f"those of '{larger}' (shape [9, 7, 7]" in complaint and "name an agent" in complaint
    (tmp_path / "train.yaml").write_text(
        f"game: {larger}\nalgorithm: {{name: ippo}}\nopponents: {{agents: ['{hex_5x5}']}}\n"
    )
    assert "hex(board_size=5)" in said(capsys, "train", tmp_path / "train.yaml", "--run-dir", tmp_path / "run")
    (tmp_path / "field.yaml").write_text(f"game: {larger}\nagents: [random, '{hex_5x5}']\n")
    assert "hex(board_size=5)" in said(
        capsys, "tournament", "run", tmp_path / "field.yaml", "--run-dir", tmp_path / "store"
    )
    assert not (tmp_path / "run").exists()


def test_no_simulations(hex_5x5, capsys, tmp_path):
    (tmp_path / "train.yaml").write_text("game: openspiel:tic_tac_toe\nalgorithm: {name: alphazero, simulations: 0}\n")
    complaint = said(capsys, "train", tmp_path / "train.yaml", "--run-dir", tmp_path / "run")
    assert "'simulations'" in complaint and "expected a number above 0, got 0" in complaint
    assert not (tmp_path / "run").exists()
    spec = spec_of("openspiel:hex(board_size=5)")
    for text in (
        "uct(simulations=0)",
        "mcts(simulations=0)",
        f"{hex_5x5}(simulations=0)",
        f"{hex_5x5}(simulations=-1)",
    ):
        with pytest.raises(UserError, match=r"at least 1 simulation.* got (0|-1)"):
            load_entrant(text, spec)


def test_more_actions_than_a_head_has():
    spec = replace(spec_of("openspiel:hex(board_size=5)"), action=Discrete(20_001))
    with pytest.raises(
        UserError, match=re.escape("at most 20,000 actions, and 'openspiel:hex(board_size=5)' has 20,001")
    ):
        AlphaZero(AlphaZeroConfig(), spec, key=0, total_steps=1, device="cpu")


@pytest.mark.parametrize("game", ["spread", "matrix(game=chicken, memory=true, steps=3)"])
def test_games_without_positions(game):
    """What only steps cannot be searched."""
    spec = spec_of(game)
    with pytest.raises(UserError, match="uct needs positions to search"):
        load_entrant("uct", spec)
    with pytest.raises(UserError, match="alphazero needs positions to search"):
        AlphaZero(AlphaZeroConfig(), spec, key=0, total_steps=1, device="cpu")


@pytest.mark.parametrize(
    ("game", "twin"),
    [
        ("pettingzoo:classic.connect_four_v3", "choose openspiel:connect_four, with"),
        ("pettingzoo:classic.tictactoe_v3", "choose openspiel:tic_tac_toe, with"),
        ("spread", "choose a game that has them"),
    ],
)
def test_openspiels_twin_is_named(game, twin):
    with pytest.raises(UserError, match=re.escape(twin)):
        load_entrant("uct", spec_of(game))
