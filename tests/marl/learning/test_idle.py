"""Settings that change nothing are noted, for every learner, once at the start of a run."""

import pytest

from games import plugins
from games.errors import UserError
from games.registry import make
from marl.base.terminal import Terminal
from marl.learning.idle import idle
from marl.learning.registry import configured
from marl.training.config import TrainConfig
from marl.training.train import train

FORAGING = "foraging(size=5, players=2, food=1) | team_reward"
SPREAD = "spread | team_reward"


def noted(game, **algorithm):
    _, learner, settings = configured(algorithm, "algorithm", typed=True)
    return idle(settings, learner.needs(settings, make(game, 1).spec))


def names_of(notes):
    """Return the settings that a note names."""
    return [part.split(" (")[0] for part in notes[0].partition(": ")[2].split("), ")] if notes else []


@pytest.mark.parametrize("name", sorted(plugins.names(plugins.ALGORITHMS)))
def test_defaults_are_never_noted_and_conditions_name_settings(name):
    game = "openspiel:tic_tac_toe"
    settings = {"learners": ["ippo", "naive"]} if name == "versus" else {}
    _, learner, made = configured({"name": name} | settings, "algorithm", typed=True)
    needs = learner.needs(made, make(game, 1).spec)
    assert needs.keys() <= type(made).model_fields.keys()
    assert idle(made, needs) == []


@pytest.mark.parametrize(
    ("game", "algorithm", "names"),
    [
        (
            FORAGING,
            {"name": "ippo", "chunk_length": 3, "hidden_size": 5, "channels": [8], "initial_log_std": 0.0},
            ["hidden_size", "chunk_length", "channels", "initial_log_std"],
        ),
        (FORAGING, {"name": "ippo", "recurrent": True, "chunk_length": 3}, []),
        (FORAGING, {"name": "qmix", "value_bins": 21, "value_range": [0, 1]}, ["value_bins", "value_range"]),
        (FORAGING, {"name": "iql", "value_bins": 21, "value_range": [0, 1], "value_head": "hl_gauss"}, []),
        (FORAGING, {"name": "concaveq", "sweeps": 3}, ["sweeps"]),
        (FORAGING, {"name": "concaveq", "sweeps": 3, "selection": "ascent"}, []),
        (
            "openspiel:tic_tac_toe",
            {"name": "alphazero", "value_bins": 21, "considered": 4},
            ["value_bins", "considered"],
        ),
        ("openspiel:tic_tac_toe", {"name": "alphazero", "rule": "gumbel", "noise": 0.1, "considered": 4}, ["noise"]),
        ("openspiel:tic_tac_toe", {"name": "alphazero", "cheap_simulations": 4, "cheap_share": 0.5}, []),
        ("openspiel:tic_tac_toe", {"name": "muzero", "encoder": "mlp", "action_planes": 3}, ["action_planes"]),
        ("matrix(game=prisoners_dilemma)", {"name": "loqa", "shaping": 0, "shaping_lambda": 0.5}, ["shaping_lambda"]),
        ("matrix(game=prisoners_dilemma)", {"name": "naive", "past_every": 5}, ["past_every"]),
        ("spread(continuous_actions=true)", {"name": "maddpg", "target_noise_clip": 0.1}, ["target_noise_clip"]),
    ],
)
def test_settings_that_nothing_uses_are_named(game, algorithm, names):
    assert names_of(noted(game, **algorithm)) == names


def test_the_note_says_what_a_setting_needs():
    assert noted(FORAGING, name="qmix", value_bins=21) == [
        "settings that change nothing here: value_bins (needs value_head: categorical or hl_gauss)"
    ]


def test_a_run_shows_the_notes_once_also_of_learners_side_by_side(tmp_path, capsys):
    small = {"steps": 64, "stretch": 32, "num_envs": 4, "rollout_length": 8, "writers": [], "evaluation": {"panel": []}}
    data = {"game": "matrix(game=prisoners_dilemma, memory=true)", **small}
    sections = [{"name": "ippo", "chunk_length": 3, "minibatch_size": 8}, {"name": "ippo", "minibatch_size": 8}]
    for folder, algorithm, who in (("a", sections[0], ""), ("b", {"name": "versus", "learners": sections}, "ippo: ")):
        config = TrainConfig.model_validate(data | {"algorithm": algorithm})
        train(config, tmp_path / folder, resume=False, console=Terminal(width=200))
        said = " ".join(capsys.readouterr().out.split())
        assert said.count(f"note: {who}settings that change nothing here: chunk_length (needs recurrent: true)") == 1
        assert said.count("change nothing here") == 1


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"value_range": [0, 1]}, None),
        ({}, None),
        ({"value_range": [0, 0.5]}, "are 0 to 1, and the values of value_head are 0 to 0.5"),
        ({"value_range": [0.5, 1.5]}, "discounted by gamma: 0.99, are 0 to 1"),
        ({"value_range": [0, 5], "standardise_rewards": "deviation"}, "so the returns are not known beforehand"),
    ],
)
def test_a_range_that_leaves_returns_out_is_noted(settings, note):
    spec = make(FORAGING, 1).spec
    _, learner, made = configured({"name": "qmix", "value_head": "hl_gauss"} | settings, "algorithm", typed=True)
    notes = learner(made, spec, key=0, total_steps=1, device="cpu").notes
    assert len(notes) == (note is not None) and all(note in each for each in notes)


def test_of_standardised_rewards_no_range_is_known():
    with pytest.raises(UserError, match="standardised rewards is not known"):
        _, learner, made = configured(
            {"name": "qmix", "value_head": "hl_gauss", "standardise_rewards": "deviation"}, "algorithm", typed=True
        )
        learner(made, make(FORAGING, 1).spec, key=0, total_steps=1, device="cpu")
