"""What pydantic finds wrong is said in the words of this project, whatever the kind of error."""

import json
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_core._pydantic_core import list_all_errors

from marl.base.faults import _EXPECTED, _text, first_fault


class Everything(BaseModel):
    """One field for each kind of value that a config may have."""

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid")

    above: Annotated[int, Field(gt=0)] = 1
    least: Annotated[float, Field(ge=0.0)] = 1
    below: Annotated[int, Field(lt=2**31)] = 1
    most: Annotated[float, Field(le=0.5)] = 0
    even: Annotated[int, Field(multiple_of=2)] = 2
    truth: bool = True
    word: str = ""
    name: Annotated[str, Field(pattern="^a+$")] = "a"
    choice: Literal["adam", "rmsprop"] = "adam"
    maybe: int | None = None
    either: int | str = 1
    nested: int | list[int] = 1
    two: tuple[int, int] = (1, 2)
    some: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    keys: Annotated[dict[Annotated[str, Field(pattern="^a+$")], int], Field(min_length=1)] = Field({"a": 1})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("above", -1, "expected a number above 0, got -1"),
        ("least", -1, "expected a number of at least 0, got -1"),
        ("below", 2**31, "expected a number below 2147483648, got 2147483648"),
        ("most", 0.75, "expected a number of at most 0.5, got 0.75"),
        ("most", float("inf"), "expected a finite number, got inf"),
        ("even", 3, "expected a multiple of 2, got 3"),
        ("above", 1.5, "expected a whole number, got 1.5"),
        ("above", "1", "expected a whole number, got '1'"),
        ("above", True, "expected a whole number, got True"),
        ("maybe", "x", "expected a whole number, got 'x'"),
        ("least", "x", "expected a number, got 'x'"),
        ("truth", "yes", "expected true or false, got 'yes'"),
        ("word", 3, "expected a word, got 3"),
        ("name", "b", "expected a word that matches ^a+$, got 'b'"),
        ("choice", "adm", "expected 'adam' or 'rmsprop', got 'adm'; did you mean 'adam'?"),
        ("choice", 3, "expected 'adam' or 'rmsprop', got 3"),
        ("either", 1.5, "expected a whole number or a word, got 1.5"),
        ("nested", "x", "expected a whole number or a list, got 'x'"),
        ("two", 5, "expected a list, got 5"),
        ("two", [1], "expected more entries, got [1]"),
        ("two", [1, 2, 3], "expected 2 or fewer entries, got 3"),
        ("some", [], "expected 1 or more entries, got 0"),
        ("keys", [], "expected keys and values, got []"),
        ("keys", {}, "expected 1 or more entries, got 0"),
    ],
)
def test_each_kind_of_fault_has_words(key, value, said):
    data = {key: value}
    with pytest.raises(ValidationError) as error:
        Everything.model_validate_json(json.dumps(data), strict=True)
    fault = first_fault(error.value, data)
    assert (fault.key, fault.text) == (key, said)


@pytest.mark.parametrize(
    ("data", "key"),
    [({"nested": [1, "x"]}, "nested.1"), ({"keys": {"b": 1}}, "keys.b"), ({"keys": {"a": "x"}}, "keys.a")],
)
def test_a_fault_is_where_the_data_has_it(data, key):
    with pytest.raises(ValidationError) as error:
        Everything.model_validate_json(json.dumps(data), strict=True)
    assert first_fault(error.value, data).key == key


class Fruit(BaseModel):
    kind: Literal["apple"]
    apple: int = 1


class Stone(BaseModel):
    kind: Literal["stone"]


class Basket(BaseModel):
    held: Annotated[Fruit | Stone, Field(discriminator="kind")]


def test_a_kind_may_be_called_as_one_of_its_keys():
    with pytest.raises(ValidationError) as error:
        Basket.model_validate_json('{"held": {"kind": "apple", "apple": "x"}}', strict=True)
    assert first_fault(error.value, {"held": {"kind": "apple", "apple": "x"}}).key == "held.apple"


@pytest.mark.parametrize("kind", list_all_errors(), ids=lambda kind: kind["type"])
def test_no_kind_of_fault_speaks_of_input(kind):
    context = {"error": ""} | (kind.get("example_context") or {})
    message = PydanticCustomError(kind["type"], kind["message_template_python"], context).message()
    assert "Input" not in _text({"type": kind["type"], "loc": (), "msg": message, "input": 1, "ctx": context})


def test_every_kind_that_has_words_is_one_of_pydantics():
    assert set(_EXPECTED) <= {kind["type"] for kind in list_all_errors()}
