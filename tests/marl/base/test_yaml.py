"""YAML 1.2: one meaning for each text, data of bounded size, and what is written is read back."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl.base import yaml
from tests.properties import examples

# Every level unfolds to nine of the level below: 558 bytes, 9^9 values.
LAUGHS = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        (".5e3", 500.0),
        ("1.", 1.0),
        ("1_000.5", 1000.5),
        ("1_000_000", 1_000_000),
        ("7", 7),
        ("010", 10),
        ("008", 8),
        ("-011", -11),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("1e", "1e"),
        ("e4", "e4"),
        ("1_", "1_"),
        ("1__0", "1__0"),
        ("1.2.3", "1.2.3"),
        ("1:30", "1:30"),
        ("1:30:00", "1:30:00"),
        ("2026-01-02", "2026-01-02"),
        ("2026-13-45", "2026-13-45"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("y", "y"),
        ("=", "="),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("! 7", "7"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("# nothing", None),
        ("[1e-4, a]", [1e-4, "a"]),
        ("{010: a, true: b, null: c}", {"010": "a", "true": "b", "null": "c"}),
        ("%YAML 1.1\n---\na: 010\nb: yes", {"a": 10, "b": "yes"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    ],
)
def test_what_a_text_means(text, value):
    found = yaml.read(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
        ("{x: {a: 1, 'a': 1}}", "the key 'a' is given twice"),
        ("1: a\n01: b\n1: c", "line 3: the key '1' is given twice"),
        (LAUGHS, "aliases that unfold to too many"),
        (f"a: &a {'x' * 9000}\nb: [{', '.join(['*a'] * 200)}]", "aliases that unfold to too many"),
        (f"[{'a,' * 30_000}]", "too many values"),
        ("x" * 1_000_001, "1,000,001 characters are more than 1,000,000"),
        ("[" * 3000, "nested more than 50 deep"),
        ("\n".join("  " * n + "a:" for n in range(60)), "nested more than 50 deep"),
        ("- " * 60 + "a", "nested more than 50 deep"),
        ("&a [*a]", "the alias *a is used before the end of its anchor"),
        ("a: *b", "the alias *b is used before the end of its anchor"),
        ("!!python/object/apply:os.getcwd []", "the tag tag:yaml.org,2002:python/object/apply:os.getcwd is not read"),
        ("!!set {a}", "is not read"),
        ("!mine 5", "is not read"),
        ("? [a]\n: 1", "a key is a word"),
        ("&a b: 1\n*a : 2", "a key is a word"),
        ("--- 1\n--- 2", "a second document begins"),
        ("9" * 5000, "a number of 5,000 digits"),
        ('"\\ud800"', "half a character"),
        ("a: \x00", "special characters are not allowed"),
        ("game: [", "line 1: while parsing a flow node"),
        ("a: b: c", "mapping values are not allowed here"),
    ],
)
def test_what_is_refused_is_said_in_a_line(text, said):
    with pytest.raises(yaml.YamlError) as caught:
        yaml.read(text)
    assert said in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ODD = (
    "1_0|0o7|010|.5e3|~||yes|<<|- a|a #b|a: b|a:|'|\"|\\|1e5|\n|\x85|\u2028| x|x |\t|\ufeff|null|%a|--- a|...|? a|*a|"
    "&a|!a|[a]|{a}|@|`|openspiel:connect_four(rows=6)|mcts(simulations=5)|runs/a b|\U0001f600|1:30|\x7f"
)
TRICKY = st.sampled_from(ODD.split("|"))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | TRICKY


@settings(max_examples=examples(300))
@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | TRICKY, inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_is_written_is_read_back(data):
    assert repr(yaml.read(yaml.write(data))) == repr(data)


def test_what_is_written_is_for_people():
    data = {"game": "spread(players=3) | agent_id", "algorithm": {"name": "ippo", "hidden": [8, 8], "share": 1e-4}}
    data |= {"agents": ["random", {"a": 1, "b": []}], "seed": "010", "keep": None}
    assert yaml.write(data) == (
        "game: spread(players=3) | agent_id\nalgorithm:\n  name: ippo\n  hidden:\n    - 8\n    - 8\n  share: 0.0001\n"
        'agents:\n  - random\n  - a: 1\n    b: []\nseed: "010"\nkeep: null\n'
    )
