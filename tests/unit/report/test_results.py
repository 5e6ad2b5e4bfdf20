import pytest

from mnemon.config import Problem
from mnemon.report import FORMAT, parse_results


def test_example_parses_and_the_model_with_most_memory_comes_first(values):
    results = parse_results(values)
    assert list(results.ordered) == ["memorizing-tiny", "transformer-xl-tiny"]
    assert results.ordered["memorizing-tiny"].memories == [0, 512, 2048, 8192, 32768]
    assert results.ordered["memorizing-tiny"].loss(8192) == 1.6121
    assert results.models["memorizing-tiny"].by_position["0"][1].start == 128


def test_positions_are_those_of_the_largest_and_the_smallest_memory(values):
    results = parse_results(values)
    assert list(results.models["memorizing-tiny"].positions) == [32768, 0]
    assert list(results.models["transformer-xl-tiny"].positions) == [0]


def test_corpus_keeps_what_else_is_known_about_it(values):
    assert parse_results(values).corpus.further["skipped"]["duplicate"] == 87


def test_newer_format_is_refused(values):
    with pytest.raises(Problem, match=rf"run: format {FORMAT + 1} is newer than {FORMAT}.*update mnemon"):
        parse_results(values | {"format": FORMAT + 1}, "run")


@pytest.mark.parametrize("wrong", [[], None, "text"])
def test_results_that_are_no_object_are_refused(wrong):
    with pytest.raises(Problem, match="a JSON object is needed"):
        parse_results(wrong)


def test_unknown_key_names_the_nearest(values):
    with pytest.raises(Problem, match=r"comparison.*did you mean 'comparisons'"):
        parse_results(values | {"comparison": []})


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"format": None},
        {"models": {}},
        {"corpus": {"name": "x"}},
        {"seconds": {"train": float("nan")}},
    ],
)
def test_damaged_results_are_refused(values, changes):
    with pytest.raises(Problem, match="results: "):
        parse_results(values | changes)


@pytest.mark.parametrize("size", ["-1", "8k", "", "08"])
def test_memory_size_is_a_whole_number(values, size):
    values["models"]["memorizing-tiny"]["bits_per_byte"][size] = 1.0
    with pytest.raises(Problem):
        parse_results(values)


def test_missing_format_is_refused(values):
    del values["format"]
    with pytest.raises(Problem, match="format"):
        parse_results(values)


def test_claim_whose_interval_contains_zero_is_refused(values):
    values["comparisons"][0]["interval"] = [-0.1, 0.1]
    with pytest.raises(Problem, match="its interval contains 0"):
        parse_results(values)


def test_interval_that_ends_before_it_begins_is_refused(values):
    values["comparisons"][0]["interval"] = [-0.1, -0.2]
    with pytest.raises(Problem, match="ends before it begins"):
        parse_results(values)


@pytest.mark.parametrize("seed", [{"seed": 9}, {"bits_per_byte": {"1024": 1.0}}])
def test_seed_that_is_not_the_models_is_refused(values, seed):
    values["models"]["memorizing-tiny"]["per_seed"][0] |= seed
    with pytest.raises(Problem, match="not among those of the model"):
        parse_results(values)
