"""Runs of policy gradients with memory: the same bytes after a resume, and with workers that step the environments."""

from functools import partial

import pytest

from games.errors import GameFailed
from marl.base.display import Display
from marl.base.terminal import Terminal
from marl.training.config import TrainConfig
from marl.training.train import _say_new_notes, prepare, train
from tests.marl.training.test_train import same

TINY = {
    "game": "repeat_first(steps=4)",
    "algorithm": {"name": "mappo", "hidden": (8,), "recurrent": True, "hidden_size": 4, "minibatch_size": 32},
    "steps": 320,
    "stretch": 160,
    "num_envs": 4,
    "rollout_length": 7,  # episodes and their chunks reach over the ends of rollouts
    "evaluation": {"panel": ("self", "random"), "seeds": 2},
}


def config(**changes):
    return TrainConfig.model_validate(TINY | changes)


@pytest.mark.parametrize(
    "settings", [{}, {"share_parameters": ((0,), (1,))}, {"name": "ippo", "anneal": False}, {"standardise_views": True}]
)
def test_resumed_runs_and_workers_give_the_same_bytes(tmp_path, settings):
    made = partial(config, algorithm=TINY["algorithm"] | settings)
    train(made(), tmp_path / "whole", resume=False)
    train(made(steps=160), tmp_path / "parts", resume=False)
    train(made(), tmp_path / "parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")
    if not settings:
        train(made(env_workers=2), tmp_path / "workers", resume=False)
        assert same(tmp_path / "whole", tmp_path / "workers")


def test_learners_with_memories_of_two_sizes_meet_in_a_run(tmp_path):
    small, large = (TINY["algorithm"] | {"hidden_size": size} for size in (4, 6))
    train(config(algorithm={"name": "versus", "learners": [small, large]}), tmp_path / "run", resume=False)


@pytest.mark.parametrize("fault, said", [("Blind", "showed a view that is not finite"), ("Stuck", "without a legal")])
@pytest.mark.parametrize("recurrent", [False, True])
def test_what_a_game_breaks_is_said_with_its_place(tmp_path, fault, said, recurrent):
    algorithm = {"name": "ippo", "hidden": (8,), "recurrent": recurrent, "hidden_size": 4}
    broken = config(game=f"tests.games.test_guard:Failing(state={fault})", algorithm=algorithm)
    with pytest.raises(GameFailed, match=rf"{said}.*environment \d, step \d of the episode with seed \d+"):
        train(broken, tmp_path / "run", resume=False)


def test_a_note_that_comes_up_in_training_is_said_once(tmp_path, capsys):
    run = prepare(config(), tmp_path / "run")
    run.noted.update(run.learner.notes)
    run.learner.notes.append("something came up")
    with Display("run", 10, "steps", Terminal()) as display:
        for _ in range(3):
            _say_new_notes(run, display)
    assert capsys.readouterr().out.count("note: something came up") == 1
    run.close()
