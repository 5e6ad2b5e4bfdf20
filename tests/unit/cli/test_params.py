import json

import pytest

from mnemon.cli import main


@pytest.mark.parametrize(
    ("recipe", "total"),
    [
        ("all-attention-enwik8-small", 38_501_725),
        ("all-attention-enwik8-large", 114_017_773),
        ("all-attention-text8-small", 38_320_300),
        ("all-attention-text8-large", 113_836_348),
        ("all-attention-wikitext103", 132_493_746),
        ("memorizing-200m", 183_922_792),
    ],
)
def test_paper_sizes_have_the_published_parameters(recipe: str, total: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", recipe, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["recipe"] == recipe
    assert value["total"] == total == sum(value["parts"].values())
    assert value["bytes"]["training"] > value["bytes"]["inference"] >= 4 * total


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "all-attention-enwik8-small"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "total                  38,501,725" in lines
    assert "persistent vectors     18,874,368" in lines
    assert "146.9 MB for inference" in lines


def test_flags_change_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    totals = []
    for flags in (["--model.vocab-size=1000"], ["--model.vocab-size=1001"], ["--data.vocab-size=1001"]):
        assert main(["params", "memorizing-tiny", "--json", "--model.dim=64", *flags]) == 0
        totals.append(json.loads(capsys.readouterr().out)["total"])
    tables = 2  # input and output
    assert totals[1] == totals[2] == totals[0] + tables * 64


def test_the_kind_of_positions_may_be_another(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model.position.kind=absolute", "--model.position.length=100"]
    assert main(["params", "memorizing-tiny", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["positions"] == 100 * 128  # one table for all layers


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "mnemon: RECIPE is missing: mnemon params RECIPE [OPTIONS]\n"),
        ("memorising", "mnemon: recipe 'memorising': no such recipe (did you mean 'memorizing'?)\n"),
        ("vanilla --model.dimm 3", "mnemon: --model.dimm: unknown flag (did you mean '--model.dim'?)\n"),
        ("vanilla --modl.dim 3", "mnemon: --modl.dim: unknown flag (did you mean '--model.dim'?)\n"),
        ("vanilla --model.position.kind t4", "mnemon: --model.position.kind 't4': no such kind (did you mean 't5'?)\n"),
        ("vanilla-tiny --data.vocab-size None", "mnemon: vanilla-tiny: the vocabulary depends on the texts"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", *words.split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_help_needs_no_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "--help"]) == 0
    assert "usage: mnemon params RECIPE" in capsys.readouterr().out
