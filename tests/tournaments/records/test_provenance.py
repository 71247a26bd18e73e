"""A store says who its agents are, and what played its games."""

import json

from marl.agents import checkpoint
from marl.agents.cost import METRICS
from tests.marl.agents.test_checkpoint import written
from tests.tournaments.playback.stores import SECOND, TIC_TAC_TOE, played
from tournaments.records import provenance
from tournaments.records.provenance import Origin
from tournaments.records.store import Store


def recorded(path):
    with Store(path) as store:
        names = {agent.id: agent.name for agent in store.agents()}
        return {names[id]: origin for id, origin in provenance.origins(store).items()}, provenance.machines(store)


def test_what_a_tournament_records_when_it_begins(tmp_path):
    run = tmp_path / "ippo"
    folder, _ = written(run, step=200, parent=("d" * 64, 100))
    lines = [{"step": step, "steps_per_second": 50, "steps_per_cpu_second": 100} for step in (100, 200, 300)]
    (run / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    path = played(tmp_path / "run", TIC_TAC_TOE, (str(folder), "random", SECOND), seeds=1)
    found, machines = recorded(path)
    origin = Origin(kind="checkpoint", algorithm="ippo", steps=200, parent="d" * 64, wall_seconds=4, cpu_seconds=2)
    name = next(name for name in found if name.startswith("ippo"))
    assert found == {name: origin, "random": Origin(kind="built-in"), SECOND: Origin(kind="class")}
    assert len(machines) == 1 and machines[0].versions["marl"] == checkpoint.versions()["marl"]

    (run / METRICS).unlink()  # what was recorded stays; only agents that are new are looked at
    played(tmp_path / "run", TIC_TAC_TOE, (str(folder), "random", SECOND, "uct(simulations=1)"), seeds=1)
    found, machines = recorded(path)
    assert found[name] == origin and found["uct(simulations=1)"].kind == "built-in" and len(machines) == 1
