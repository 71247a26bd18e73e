"""Where a learner's time goes: every part of it is still there to be clocked."""

from marl.algorithms.value_factorization.batch import EpisodeBatch
from tests.benchmarks import cooperative
from tests.benchmarks.cooperative import EPYMARL, FORAGING, Trainer, clocked


def test_all_parts_of_training_are_clocked(monkeypatch):
    """Trap: the clocks named methods that the learner had lost, and the command of a claim failed."""
    monkeypatch.setattr(cooperative, "NUM_ENVS", 4)
    monkeypatch.setattr(EpisodeBatch, "targets", EpisodeBatch.targets)  # clocked as a class: put back after the test
    trainer = Trainer(FORAGING, EPYMARL | {"batch_episodes": 2, "hidden": 8}).warm()
    spent = clocked(trainer)
    trainer.play()
    clocked_parts = spent.keys() - {"recording", "forward"}  # which are what is left
    assert all(spent[part] > 0 for part in clocked_parts) and len(clocked_parts) == 8
