"""A folder holds one thing: a command never works in the folder of another kind."""

import pytest

from games.errors import UserError
from marl.base.lock import held
from marl.base.occupied import holds, refuse_others

RUN, POPULATION, TOURNAMENT = "a training run", "a population", "a tournament"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, ""),
        ({"notes.txt": "mine"}, ""),
        ({"config.yaml": "game: x\nalgorithm: {name: ippo}\nopponents: {agents: []}\n"}, RUN),
        ({"config.yaml": "game: x\nmethod: psro\n", "population.json": "{}"}, POPULATION),
        ({"journal.jsonl": ""}, POPULATION),
        ({"config.yaml": "game: x\nagents: [random]\n"}, TOURNAMENT),
        ({"config.yaml": "["}, ""),  # damaged: whoever reads it says so
        ({"config.yaml": "[]"}, ""),
    ],
)
def test_what_a_folder_holds(tmp_path, files, what):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert holds(tmp_path) == what
    for other in (RUN, POPULATION, TOURNAMENT, "best responses"):
        if what in ("", other) or other == "best responses":
            refuse_others(tmp_path, other, "go away")
        else:
            with pytest.raises(UserError, match=f"holds {what}, and {other} needs a folder of its own; go away"):
                refuse_others(tmp_path, other, "go away")


def test_a_folder_of_another_kind_is_not_taken(tmp_path):
    (tmp_path / "config.yaml").write_text("game: x\nalgorithm: ippo\n")
    with pytest.raises(UserError, match="name another --run-dir"), held(tmp_path, TOURNAMENT):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
