import json

import pytest

from mnemon.cli import main
from mnemon.recipes import RECIPES


def test_every_recipe_is_listed_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(len(line.split()) > 3 for line in lines)


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["recipe"] for entry in listed] == list(RECIPES)
    assert all(entry["about"] for entry in listed)


def test_a_recipe_of_a_known_vocabulary_reads_the_data_set_it_belongs_to() -> None:
    sources = {205: "enwik8", 28: "text8", 267_735: "wikitext-103"}
    found = {name: build() for name, build in RECIPES.items()}
    for config in found.values():
        if config.model.vocab_size in sources:
            assert config.data.source == sources[config.model.vocab_size]
    assert {config.data.source for config in found.values()} >= set(sources.values())
