from typing import Literal, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from mnemon.config import Config, Problem, nearest


class Inner(Config):
    size: int = Field(3, gt=0)
    kind: Literal["a", "b"] = "a"


class Round(Config):
    kind: Literal["round"] = "round"
    radius: int = 1


class Square(Config):
    kind: Literal["square"] = "square"
    side: int = 1


class Even(Config):
    n: int = 2

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.n % 2:
            raise ValueError(f"n {self.n} is odd: give an even one")
        return self


class Outer(Config):
    name: str = "x"
    inner: Inner = Inner()
    other: Inner | None = None
    shape: Round | Square = Field(Round(), discriminator="kind")


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Outer().name = "y"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nam": "y"}, "here: nam: unknown key (did you mean 'name'?)"),
        ({"inner": {"sise": 1}}, "here: inner.sise: unknown key (did you mean 'size'?)"),
        ({"other": {"kinds": 1}}, "here: other.kinds: unknown key (did you mean 'kind'?)"),
        ({"zzz": 1}, "here: zzz: unknown key (known: inner, name, other, shape)"),
        ({"inner": {"size": "many"}}, "here: inner.size: Input should be a valid integer"),
        ({"inner": {"size": -1}}, "here: inner.size: Input should be greater than 0, got -1"),
        ({"inner": {"kind": "c"}}, "here: inner.kind: Input should be 'a' or 'b', got \"c\""),
        ({"name": {1}}, "here: name: Input should be a valid string, got"),
        ({"shape": {"kind": "square", "sides": 1}}, "here: shape.sides: unknown key (did you mean 'side'?)"),
        ({"shape": {"kind": "square", "side": "a"}}, "here: shape.side: Input should be a valid integer"),
        ({"shape": {"kind": "cube"}}, "here: shape: Input tag 'cube' found"),
        ([], "here: Input should be"),
    ],
)
def test_first_bad_value_is_named_with_its_path(values: dict, message: str) -> None:
    with pytest.raises(Problem) as caught:
        Outer.parse(values, "here")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_a_config_itself_refuses_is_said_without_all_its_values() -> None:
    with pytest.raises(Problem, match=r"^here: n 3 is odd: give an even one$"):
        Even.parse({"n": 3}, "here")


def test_parse_reads_back_what_was_dumped() -> None:
    config = Outer(other=Inner(size=5))
    assert Outer.parse(config.model_dump(mode="json"), "here") == config


def test_replace_changes_fields_at_any_depth_and_validates() -> None:
    changed = Outer(other=Inner()).replace(name="y", inner__size=7, inner__kind="b", other__size=9)
    assert changed == Outer(name="y", inner=Inner(size=7, kind="b"), other=Inner(size=9))
    with pytest.raises(ValidationError):
        Outer().replace(inner__size=0)
    with pytest.raises(ValidationError):
        Outer().replace(absent=0)


def test_replace_leaves_the_original_alone() -> None:
    config = Outer()
    config.replace(inner__size=7)
    assert config == Outer()


def test_nearest_names_the_closest_or_all() -> None:
    assert nearest("memorising", ["memorizing", "vanilla"]) == " (did you mean 'memorizing'?)"
    assert nearest("zzz", ["vanilla", "memorizing"]) == " (known: memorizing, vanilla)"


def test_nearest_of_many_names_is_one_name() -> None:
    assert nearest("--zzz", [f"--flag-{i}" for i in range(50)]).startswith(" (did you mean '--flag-")
