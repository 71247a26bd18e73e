"""The units of work of all populations: what their ids know, and what changes none."""

from marl.algorithms.policy_gradient.ippo import Ippo
from marl.base.units import Unit
from marl.training.config import TrainConfig
from marl.training.train import check, spelled_out
from tournaments.populations.trained import Run
from tournaments.populations.training import unit_of


def config(**settings):
    data = {"game": "openspiel:kuhn_poker", "algorithm": {"name": "ippo"} | settings, "steps": 100, "stretch": 50}
    return spelled_out(TrainConfig.model_validate(data))


def units(**settings):
    made = config(**settings)
    return unit_of("a", made, until=50), Run("a", 1, check(made), seed=3, until=50).unit


def test_a_setting_that_is_added_with_a_default_changes_no_id(monkeypatch):
    before = units()

    class Later(Ippo.Config):
        added: float = 0.25

    monkeypatch.setattr(Ippo, "Config", Later)
    assert units() == units(added=0.25) == before
    assert all(now != then for now, then in zip(units(added=0.5), before, strict=True))
    assert all(unit.inputs["config"]["algorithm"]["added"] == 0.25 for unit in units())


def test_a_setting_at_its_default_is_as_one_that_is_left_open():
    base = check(config())
    default = Ippo.Config().learning_rate
    runs = [Run("a", 1, base, 3, {"algorithm.learning_rate": rate}) for rate in (default, 2 * default)]
    assert runs[0].unit == Run("a", 1, base, 3).unit != runs[1].unit


def test_the_ids_of_earlier_versions_are_known():
    for unit in units():
        assert unit.ids == (unit.id, Unit("train", unit.inputs, unit.seed).id) and len(set(unit.ids)) == 2
