"""Commands that no longer exist are found without running them."""

import pytest

from games.errors import UserError
from tests.claims.commands import check
from tests.claims.test_running import claim

GOOD = [
    "marl train ippo_tic_tac_toe --set seed={seed} --run-dir runs/seed{seed}",
    "marl sweep qmix_foraging --seeds 5 --grid algorithm.name=qmix,vdn > out.txt",
    'marl sweep conditional_mappo_climbing --set \'algorithm={"name": "happo", "learning_rate": 0.003}\'',
    "marl population psro_kuhn --set iterations=3",
    "marl population status runs/psro_kuhn --json > status.json",
    "marl tournament run connect_four --set 'agents=[random, mcts(simulations=3)]' --json > t.json",
    "marl evaluate 'runs/seed{seed}(greedy=true)' --against random --json > e.json",
    'marl train ippo_connect_four --set "opponents={agents: [$(ls -d runs/*/0 | tail -1)], share: 1.0}"',
    'for C in runs/a/*; do marl evaluate "$C(simulations=100)" --solved --json > "$(basename $C).json"; done',
    "python -m tests.benchmarks.coverage --pools 300 --seeds 2 5 >> coverage.md",
    "python -m tests.benchmarks.tournaments --only playing --base $BEFORE > playing.md",
    "python -m pytest -m slow --pyargs tests.marl.training.test_sweep",
]
BAD = [
    ("marl trian ippo_tic_tac_toe", "trian"),
    ("marl train ippo_tic_tac_to", "ippo_tic_tac_toe"),
    ("marl train ippo_tic_tac_toe --sets seed=1", "sets"),
    ("marl train ippo_tic_tac_toe --set stpes=1", "steps"),
    ("marl train ippo_tic_tac_toe --set algorithm.learning_rat=1", "learning_rate"),
    ("marl train ippo_tic_tac_toe --set game=openspiel:tic_tac_to", "tic_tac_toe"),
    ("marl sweep qmix_foraging --grid algorithm.name=qmix,vdm", "vdn"),
    ("marl sweep qmix_foraging --grid algorithm.gama=0.9,0.95", "gamma"),
    ("marl population psro_kuhn --set iteration=3", "iterations"),
    ("marl tournament run connect_for", "connect_four"),
    ("marl tournament run connect_four --set sedes=3", "seeds"),
    ("marl evaluate random --game openspiel:kuhn_pokr --against random", "kuhn_poker"),
    ("python -m tests.benchmarks.speeed --only native", "no module"),
    ("python -m tests.benchmarks.speed --only natives", "invalid choice"),
    ("python -m pytest --pyargs tests.marl.training.test_swep", "no module"),
    ("rm -r runs", "expected a command of marl"),
    ("marl train ippo_tic_tac_toe > log; marl train nothing_like_it", "nothing_like_it"),
]


def test_commands_that_exist():
    check(claim(*GOOD))


@pytest.mark.parametrize(("line", "told"), BAD, ids=[line for line, _ in BAD])
def test_commands_that_do_not_exist(line, told):
    with pytest.raises(UserError, match=told) as refused:
        check(claim(line))
    assert f"`{line}`" in str(refused.value)
