from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import tyro
from pydantic import Field

from mnemon.cli.flags import _unboxed, changed, of_kinds, parse, with_sections
from mnemon.config import Config, Problem


class Store(Config):
    """A nested section."""

    size: int = 8
    layers: tuple[int, ...] = (2,)


class Model(Config):
    dim: int = Field(16, gt=0, description="model dimension")
    norm: Literal["rms", "layer"] = "rms"
    scale: float | None = None
    inner: Store = Store()
    store: Store | None = None


class Train(Config):
    steps: int = 100
    checkpoint_every: int = 10
    shuffle: bool = False


class Whole(Config):
    recipe: str = "toy"
    model: Model = Model()
    train: Train = Train()


@dataclass(frozen=True, kw_only=True)
class Command:
    """Do something."""

    what: tyro.conf.Positional[str] = "nothing"
    out: str
    """where to"""
    model: str | None = None
    """shares its name with a section"""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Optional:
    names: Annotated[tuple[str, ...], tyro.conf.arg(help="several")] = ()


def filled(words: str, config: Whole | None = None) -> tuple[Command, Whole]:
    config = config or Whole()
    command = parse(with_sections(Command, config), ["--out", "x", *words.split()], "mnemon do")
    return command, changed(config, command, "toy")


def test_no_flags_leave_the_config_as_it_is() -> None:
    assert filled("")[1] == Whole()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--train.steps 40 --train.checkpoint-every 5", Whole(train=Train(steps=40, checkpoint_every=5))),
        ("--train.steps=40", Whole(train=Train(steps=40))),
        ("--train.checkpoint_every 5", Whole(train=Train(checkpoint_every=5))),
        ("--train.shuffle True", Whole(train=Train(shuffle=True))),
        ("--model.inner.size 3 --model.inner.layers 1 4", Whole(model=Model(inner=Store(size=3, layers=(1, 4))))),
        ("--model.scale 0.5", Whole(model=Model(scale=0.5))),
        ("--model.norm layer", Whole(model=Model(norm="layer"))),
    ],
)
def test_flags_change_values_at_any_depth(words: str, expected: Whole) -> None:
    assert filled(words)[1] == expected


def test_a_flag_and_a_section_may_share_their_name() -> None:
    command, config = filled("--model name --model.dim 5")
    assert command.model == "name"
    assert config == Whole(model=Model(dim=5))


def test_an_optional_section_that_is_there_has_flags() -> None:
    config = Whole(model=Model(store=Store(size=9)))
    assert filled("--model.store.size 77", config)[1].model.store == Store(size=77)
    assert filled("", config)[1] == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--train.step 4", "--train.step: unknown flag (did you mean '--train.steps'?)"),
        ("--trian.steps 4", "--trian.steps: unknown flag (did you mean '--train.steps'?)"),
        ("--steps=4", "--steps: unknown flag (did you mean '--train.steps'?)"),
        ("--jsn", "--jsn: unknown flag (did you mean '--json'?)"),
        ("--model.store.size 3", "--model.store.size: unknown flag (did you mean '--model.inner.size'?)"),
        ("--recipe other", "--recipe: unknown flag"),
        ("--train.steps four", "--train.steps: invalid literal for int() with base 10: 'four'; see mnemon do --help"),
        ("--train.steps", "Missing value for argument '--train.steps'"),
        ("--model.norm mid", "invalid choice 'mid' for argument '--model.norm'. Expected one of ('rms', 'layer')"),
        ("--train.shuffle", "Missing value for argument '--train.shuffle'"),
        ("--model.dim -3", "toy: model.dim: Input should be greater than 0, got -3"),
        ("one two", "'two': unexpected argument; see mnemon do --help"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        filled(words)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert "│" not in str(caught.value)


def test_missing_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem, match=r"^Missing from mnemon do: --out STR where to"):
        parse(Command, ["--json"], "mnemon do")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("colour", ["", "\x1b[31m"])
@pytest.mark.parametrize(
    "lines",
    [
        [
            "╭─ Value error ────────╮",
            "│ Error parsing --out: │",
            "│ not a --folder.      │",
            "│ ──────────────────── │",
            "│ Argument helptext:   │",
            "╰──────────────────────╯",
        ],
        [
            " Value error          ",
            " -------------------- ",
            "  Error parsing --out:",
            "  not a --folder.     ",
            "  --------------------",
            "  Argument helptext:  ",
        ],
    ],
)
def test_messages_are_unboxed_in_colour_and_in_ascii(lines: list[str], colour: str) -> None:
    end = "\x1b[0m" if colour else ""
    assert _unboxed("\n".join(colour + line + end for line in lines)) == "--out: not a --folder"


def test_help_lists_flags_of_the_command_and_of_the_sections(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(with_sections(Command, Whole()), ["--help"], "mnemon do")
    assert not stop.value.code
    said = capsys.readouterr().out
    assert "--out STR" in said
    assert "--model.dim INT" in said
    assert "model dimension" in said


def test_a_flag_may_take_several_values() -> None:
    assert parse(Optional, ["--names", "a", "b"], "mnemon do").names == ("a", "b")


class Round(Config):
    kind: Literal["round"] = "round"
    radius: int = 1


class Square(Config):
    kind: Literal["square"] = "square"
    edge_length: int = 2


class Shaped(Config):
    outer_shape: Round | Square = Field(Round(radius=7), discriminator="kind")
    plain: Store = Store()


class Drawing(Config):
    model: Shaped = Shaped()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Round(radius=7)),
        (["--model.outer-shape.kind=round"], Round(radius=7)),
        (["--model.outer-shape.kind", "square"], Square()),
        (["--model.outer_shape.kind=square", "--model.outer-shape.edge-length=5"], Square(edge_length=5)),
    ],
)
def test_a_section_of_several_kinds_is_of_the_kind_that_is_named(words: list[str], expected: Config) -> None:
    config = of_kinds(Drawing(), words)
    command = parse(with_sections(Command, config), ["--out=x", *words], "mnemon do")
    assert changed(config, command, "toy").model.outer_shape == expected


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(Problem, match=r"--model.outer-shape.kind 'sqare': no such kind \(did you mean 'square'\?\)"):
        of_kinds(Drawing(), ["--model.outer-shape.kind=sqare"])
