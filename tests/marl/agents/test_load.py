"""Agents by reference: names, classes and checkpoints, who each of them is, and what cannot play."""

import hashlib
import json
import linecache
import shlex
import struct
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch

from games.contract import Discrete
from games.errors import UserError
from games.references import parse
from games.registry import from_file, make
from marl.agents import checkpoint, identity
from marl.agents.load import checkpoint_folder, game_of, identify, load_entrant, load_entrants, members
from marl.agents.mcts import Mcts
from marl.agents.references import is_foreign, read
from marl.algorithms.policy_gradient.agent import PpoAgent
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.learning.registry import algorithm
from marl.rollout.agent import Random
from marl.rollout.types import View
from marl.training import population
from tests.marl.agents.test_checkpoint import SPEC, written

BOTS = """
    import numpy as np
    from marl.rollout.types import Decision

    class First:
        def __init__(self, spec, offset=0):
            self.spec, self.offset = spec, offset

        def initial_hidden(self, rows):
            return None

        def act(self, view, hidden):
            return Decision(np.full(len(view), self.spec.num_players + self.offset)), None

    class Mute:
        pass

    def broken():
        raise ValueError("no licence")
"""


@pytest.fixture
def bots(tmp_path, monkeypatch):
    """A stranger's package of agents."""
    (tmp_path / "strangers_bots.py").write_text(textwrap.dedent(BOTS))
    monkeypatch.syspath_prepend(tmp_path)
    yield "strangers_bots"
    sys.modules.pop("strangers_bots", None)


def test_built_in():
    random, mcts = load_entrant("random", SPEC), load_entrant("mcts(simulations=5)", SPEC)
    assert isinstance(random.agent, Random) and isinstance(mcts.agent, Mcts)
    assert (random.name, mcts.name) == ("random", "mcts(simulations=5)")
    assert random.digest == load_entrant("random", SPEC).digest
    assert len({random.digest, mcts.digest, load_entrant("mcts(simulations=6)", SPEC).digest}) == 3


def test_a_strangers_class(bots):
    entrant = load_entrant(f"{bots}:First(offset=2)", SPEC)
    assert entrant.foreign and not load_entrant("random", SPEC).foreign
    keys, ones = np.zeros(2, np.uint64), np.ones((2, 9), bool)
    view = View(np.zeros((2, *SPEC.observation.shape)), ones, np.zeros(2, int), np.arange(2), ones[:, 0], keys)
    assert entrant.agent.act(view, None)[0].action.tolist() == [SPEC.num_players + 2] * 2
    assert (
        entrant.digest
        != load_entrant(f"{bots}:First(offset=3)", SPEC).digest
        != load_entrant(f"{bots}:First", SPEC).digest
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("randm", "minimax, a class or a checkpoint folder, got 'randm'; did you mean 'random'?"),
        ("tit_for_tad", "expected one of random, mcts, uct, chat, tit_for_tat, "),
        ("zzzz", "a checkpoint is named by its folder"),
        ("runs/none", "got 'runs/none', which does not exist"),
        ("random(x=1)", "'random' takes no arguments, got 'x'"),
        ("mcts(simulation=1)", "did you mean 'simulations'?"),
        ("{bots}:Mute", "expected an agent with act(view, hidden) and initial_hidden(rows)"),
        ("{bots}:Frist", "did you mean 'First'?"),
        ("{bots}:First(ofset=1)", "did you mean 'offset'?"),
        ("{bots}:broken", "no licence"),
        ("not_installed_anywhere:Bot", "importable module"),
        ("math:pi", "expected a class or a function with named arguments, got 3.14"),
        ("x" * 300, "File name too long"),
        ("runs/" + "x" * 5000, "File name too long"),
        ("a" + " | a" * 2000, "File name too long"),
        ("random(x={{[]}})", "'random' takes no arguments"),
    ],
)
def test_what_is_no_agent(bots, tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load_entrant(text.format(bots=bots), SPEC)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkpoint_and_the_run_whose_newest_it_is(tmp_path):
    written(tmp_path / "run", step=5)
    folder, _ = written(tmp_path / "run", step=7, key=4)
    by_run, by_folder = load_entrant(str(tmp_path / "run"), SPEC), load_entrant(str(folder), SPEC)
    assert isinstance(by_run.agent, PpoAgent)
    assert by_run.digest == by_folder.digest != load_entrant(str(folder.with_name("000000005")), SPEC).digest
    assert (by_run.name, by_folder.name) == ("run", "run/000000007")
    assert load_entrant(f"{tmp_path}/run(greedy=True)", SPEC).name == "run(greedy=true)"
    assert checkpoint_folder(tmp_path / "run") == checkpoint_folder(folder) == folder


def test_a_checkpoint_takes_its_algorithms_options_only(tmp_path, monkeypatch):
    folder, _ = written(tmp_path)
    with pytest.raises(UserError, match=r"a checkpoint of ippo takes greedy, got 'gready'; did you mean 'greedy'\?"):
        load_entrant(f"{folder}(gready=True)", SPEC)
    monkeypatch.setattr(Ippo, "load_agent", lambda config, spec, state, device: None)
    with pytest.raises(UserError, match="a checkpoint of ippo takes no arguments, got 'greedy'; leave it out"):
        load_entrant(f"{folder}(greedy=True)", SPEC)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"hidden": [9]}, "do not fit this version of ippo; install the version that wrote them"),
        ({"hiden": [8]}, "unknown key 'hiden' in the checkpoint '{folder}', written by another version"),
    ],
)
def test_a_checkpoint_of_another_version(tmp_path, settings, said):
    """Its settings or its weights are not those that the algorithm has here; all else is as it was written."""
    folder, _ = written(tmp_path)
    about = checkpoint.read(folder)
    about["settings"] |= settings
    reseal(folder, about)
    with pytest.raises(UserError) as caught:
        load_entrant(str(folder), SPEC)
    assert said.format(folder=folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="which holds no checkpoint"):
        load_entrant(str(tmp_path / "run"), SPEC)


def test_a_checkpoint_plays_any_game_with_its_views_and_actions(tmp_path):
    folder, _ = written(tmp_path)
    with pytest.raises(UserError) as caught:
        load_entrant(str(folder), make("openspiel:kuhn_poker", 1).spec)
    assert str(caught.value) == (
        f"'{folder}' was trained on 'openspiel:tic_tac_toe', whose views (shape [3, 3, 3], dtype float32) are not "
        "those of 'openspiel:kuhn_poker' (shape [7], dtype float32); name an agent that was trained on such a game"
    )
    other_views = replace(SPEC.observation, kind="information_state")  # of the same shape, as those of liar's dice
    for parts, said in (
        ({"observation": other_views}, r"whose views .* are not those of .* kind information_state\); name an agent"),
        ({"num_players": 3}, r"whose players \(2\) are not those of 'openspiel:tic_tac_toe' \(3\)"),
        ({"action": Discrete(4)}, r"whose actions \(discrete 9\) are not those of .* \(discrete 4\)"),
    ):
        with pytest.raises(UserError, match=said):
            load_entrant(str(folder), replace(SPEC, **parts))
    misere = make("openspiel:misere(game=tic_tac_toe())", 1).spec
    assert misere.observation == SPEC.observation and load_entrant(str(folder), misere)


def test_another_agent_or_key_draws_other_numbers():
    random, mcts = load_entrant("random", SPEC), load_entrant("mcts", SPEC)
    assert len({random.stream(1), random.stream(2), mcts.stream(1)}) == 3
    assert random.stream(1) == load_entrant("random", SPEC).stream(1)


def test_code_beside_the_class_is_part_of_who_it_is_and_not_of_what_it_draws(bots, tmp_path):
    before = load_entrant(f"{bots}:First(offset=2)", SPEC)
    path = tmp_path / f"{bots}.py"
    path.write_text(path.read_text() + "HABIT = 1  # what another function of the module may read\n")
    identity._source.cache_clear()  # as a new process would read it
    linecache.clearcache()
    after = load_entrant(f"{bots}:First(offset=2)", SPEC)
    assert after.digest != before.digest and after.stream(1) == before.stream(1)
    assert load_entrant(f"{bots}:First(offset=3)", SPEC).stream(1) != before.stream(1)


def test_a_population_stands_for_its_members(tmp_path):
    runs = {name: tmp_path / "members" / name for name in ("a", "b")}
    folders = {name: written(run)[0] for name, run in runs.items()}
    population.write(tmp_path, runs)

    def references(text):
        return {name: entrant.reference for name, entrant in load_entrants(text, SPEC).items()}

    assert members(tmp_path) == folders
    assert references(str(tmp_path)) == {name: str(folder) for name, folder in folders.items()}
    greedy = {name: f"{folder}(greedy=True)" for name, folder in folders.items()}
    assert references(f"{tmp_path}(greedy=True)") == greedy
    assert references("mcts(simulations=5)") == {"mcts(simulations=5)": "mcts(simulations=5)"}
    assert references(str(runs["a"])) == {"a": str(runs["a"])}


def test_who_agents_are_is_known_before_they_are_loaded(tmp_path, bots, monkeypatch):
    """What is known of an agent that is loaded, and of one that is not, is the same."""
    runs = {name: tmp_path / "members" / name for name in ("a", "b", "c")}
    for key, run in enumerate(runs.values()):
        written(run, key=key)
    population.write(tmp_path, runs)
    texts = [
        "random",
        "mcts(simulations=5)",
        str(runs["a"]),
        f"{runs['a']}(greedy=true)",
        str(tmp_path),
        f"{bots}:First",
    ]
    loaded = [entrant for text in texts for entrant in load_entrants(text, SPEC).values()]
    read_files = []
    tensors = checkpoint.tensors
    monkeypatch.setattr(checkpoint, "tensors", lambda *file: read_files.append(file[0]) or tensors(*file))
    found = identify(texts, SPEC)
    fields = ("name", "reference", "digest", "draws", "foreign")
    assert [[getattr(agent, name) for name in fields] for agent in found] == [
        [getattr(entrant, name) for name in fields] for entrant in loaded
    ]
    assert [is_foreign(text) for text in texts] == [False] * 5 + [True] and found[-1].foreign
    assert len(read_files) == 2  # one checkpoint of each algorithm and options
    assert found[-1].agent._channel is None  # its process has ended
    loaded[-1].rest()


def test_one_checkpoint_of_each_algorithm_and_options_is_loaded_to_find_who_it_is(tmp_path, monkeypatch):
    folders = [written(tmp_path / name, key=key)[0] for key, name in enumerate("abc")]
    (folders[1] / "agent.safetensors").write_bytes(b"no weights")
    assert len(identify(list(map(str, folders)), SPEC)) == 3
    with pytest.raises(UserError, match=r"agent\.safetensors' is not what was written"):
        identify([str(folder) for folder in folders[1:]], SPEC)
    with pytest.raises(UserError, match=r"agent\.safetensors' is not what was written"):
        identify([str(folders[0]), f"{folders[1]}(greedy=true)"], SPEC)
    with pytest.raises(UserError, match=r"checkpoint\.json' is not what was written"):
        (folders[1] / "checkpoint.json").write_bytes(b"{}")
        identify(list(map(str, folders)), SPEC)


# The first five are what `marl train --run-dir` wrote and nothing could name.
FOLDERS = ["2026-01-02_12:30:00", "lr=1e-3", "my run (1)", "a,b", "trail ", " lead", "it's", "a|b", "f(x=1)", "a\"b'(c"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_path_that_exists_is_an_agent_whatever_letters_it_has(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = written(tmp_path / name / "run")
    own, _ = written(tmp_path / name, step=7)
    for path, shown in ((name, name), (f"{tmp_path}/{name}", name), (f"{name}/run", "run")):
        entrant, greedy = load_entrant(path, SPEC), load_entrant(f"{path}(greedy=true)", SPEC)
        assert entrant.digest == load_entrant(str(own if shown == name else folder), SPEC).digest != greedy.digest
        assert (entrant.name, greedy.name) == (shown, f"{shown}(greedy=true)")
        for known in (entrant, greedy):  # a worker, or a later tournament, reads what was kept
            assert (
                read(known.reference) == parse(known.reference)
                and load_entrant(known.reference, SPEC).digest == known.digest
            )
        assert game_of(path) == game_of(f"{path}(greedy=True)") == "openspiel:tic_tac_toe"
    with pytest.raises(UserError, match=r"takes greedy, got 'gready'"):
        load_entrant(f"{name}(gready=True)", SPEC)
    with pytest.raises(UserError, match="which does not exist"):
        load_entrant(f"none/{name}", SPEC)


def test_a_built_in_name_comes_before_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("random", "mcts(simulations=5)"):
        written(tmp_path / name)
        assert not isinstance(load_entrant(name, SPEC).agent, PpoAgent)
        assert isinstance(load_entrant(f"./{name}", SPEC).agent, PpoAgent)
    (tmp_path / "population.json").write_text('{"members": [{"id": "a", "checkpoint": "random"}]}')
    member = load_entrants(".", SPEC)["a"]
    assert isinstance(member.agent, PpoAgent) and load_entrant(member.reference, SPEC).digest == member.digest


@pytest.mark.parametrize(
    "checkpoint",
    [
        *(
            "canary:run",
            "subprocess:getoutput(cmd='touch canary.txt')",
            "random",
            "/etc",
            "../other",
            "inner/../../other",
        ),
        *("", "a\0b", "x" * 5000, "link", "link/x", 5, None),
    ],
)
def test_a_member_is_a_folder_within_its_population(checkpoint, tmp_path, monkeypatch):
    home = tmp_path / "population"
    (home / "inner").mkdir(parents=True)
    written(tmp_path / "other")
    (home / "link").symlink_to(tmp_path / "other")
    (home / "canary.py").write_text("import pathlib\npathlib.Path('canary.txt').touch()\n")
    (home / "population.json").write_text(json.dumps({"members": [{"id": "a", "checkpoint": checkpoint}]}))
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    for text in (".", str(home), "../population"):
        said = r"holds no readable population\.json|which holds no checkpoint|which is a population"
        with pytest.raises(UserError, match=said):
            load_entrants(text, SPEC)
    assert not (home / "canary.txt").exists()


def test_the_game_of_a_checkpoint(tmp_path):
    written(tmp_path / "run")
    assert game_of(str(tmp_path / "run")) == "openspiel:tic_tac_toe"
    for text in ("random", "some.module:Bot"):
        with pytest.raises(UserError, match="knows no game of its own; name one"):
            game_of(text)


@pytest.mark.parametrize(
    "game, names",
    [
        ("canary:run", "code of 'canary'"),
        ("subprocess:getoutput(cmd='touch canary.txt')", "code of 'subprocess'"),
        ("gymnasium:canary.X-v0", "a package that is not one of gymnasium's own"),
        ("pettingzoo:canary.x_v0", "a package that is not one of pettingzoo's own"),
        ("pettingzoo:mpe2.canary.x_v0", "a package that is not one of pettingzoo's own"),
        ("openspiel:tic_tac_toe | canary:run", "code of 'canary'"),
        ("openspiel:tic_tac_toe | agent_id | canary:run(x=1)", "code of 'canary'"),
        ("openspiel:efg_game(filename='/etc/passwd')", "a file, '/etc/passwd'"),
        ("spread | messy(phi='../x')", "a file, '../x'"),
        ("openspiel:misere(game='canary:run')", "a file, 'canary:run'"),
        ("spread(players=[{'a': b'x'}])", "a file, b'x'"),
    ],
)
def test_a_game_that_stands_in_a_checkpoint_runs_no_code(game, names, tmp_path, monkeypatch):
    folder, _ = written(tmp_path / "my run")
    reseal(folder, checkpoint.read(folder) | {"game": game})
    (tmp_path / "canary.py").write_text("import pathlib\npathlib.Path('canary.txt').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as caught:
        game_of("my run")
    said = str(caught.value)
    assert f", read from a file, names {names}, which is not run; " in said
    if "subprocess" in names:  # nobody is asked to paste this
        assert said.endswith("; no game is there; name one with --game")
    else:
        assert shlex.split(said.partition("type it yourself: ")[2]) == ["marl", "evaluate", "my run", "--game", game]
    assert not (tmp_path / "canary.txt").exists() and "canary" not in sys.modules


@pytest.mark.parametrize(
    "game",
    [
        *("nim", "spread(players=3) | agent_id", "openspiel:misere(game=tic_tac_toe())"),
        *("gymnasium:gymnasium.CartPole-v1", "pettingzoo:classic.tictactoe_v3"),
        "pettingzoo:mpe2.simple_spread_v3(N=3) | resize_v1(x_size=84, mode=B)",
    ],
)
def test_games_that_are_registered_may_stand_in_a_checkpoint(game):
    assert from_file(game, "") == game


def test_weights_that_are_not_finite_are_refused(tmp_path):
    folder, _ = written(tmp_path)
    about = checkpoint.read(folder)
    state = checkpoint.tensors(folder, about, "agent.safetensors")
    next(iter(state.values())).view(-1)[0] = float("nan")
    safetensors.torch.save_file(state, folder / "agent.safetensors")
    reseal(folder, about)
    with pytest.raises(UserError, match="are not all finite; choose another checkpoint"):
        load_entrant(str(folder), SPEC)


def header(text):
    return struct.pack("<Q", len(text)) + text.encode()


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        struct.pack("<Q", 1 << 62),
        header("[" * 100_000),
        header('{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}') + b"1234",
        header('{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}}'),
        header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}') + b"12345678",
        header('{"a": 5}'),
        header("[]"),
    ],
)
def test_weights_that_are_not_of_the_size_that_they_declare_are_refused(weights, tmp_path):
    folder, _ = written(tmp_path)
    about = checkpoint.read(folder)
    (folder / "agent.safetensors").write_bytes(weights)
    reseal(folder, about)
    with pytest.raises(UserError, match="it holds no tensors"):
        load_entrant(str(folder), SPEC)


def reseal(folder, about):
    """Write checkpoint.json anew as a forger would, with the digests of what lies there now."""
    weights = (folder / "agent.safetensors").read_bytes()
    about["sha256"]["agent.safetensors"] = hashlib.sha256(weights).hexdigest()
    about["digest"] = checkpoint._digest_of(about)
    (folder / "checkpoint.json").write_bytes(checkpoint._sealed(about))


def test_algorithms_are_found_by_entry_point():
    assert algorithm("ippo") is Ippo
    with pytest.raises(UserError, match=r"expected a known algorithm, got 'ipo'; did you mean 'ippo'\?"):
        algorithm("ipo")
