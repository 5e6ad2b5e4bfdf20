import pytest

from mnemon.report import parse_results
from mnemon.report.results import Model
from mnemon.report.wording import (
    count,
    decimal,
    fairness,
    flat,
    listing,
    memory,
    percent,
    plain,
    signed,
    summary,
    verdict,
    visible,
)

MINUS = "\N{MINUS SIGN}"


def test_numbers_are_written_for_readers():
    assert count(8192) == "8,192"
    assert decimal(-1.61249) == f"{MINUS}1.612"
    assert [signed(x) for x in (0.0341, -0.0341, 0.0, -0.0001)] == ["+0.034", f"{MINUS}0.034", "0.000", "0.000"]
    assert [percent(x) for x in (1.0, 0.658, 0.01, 0.00067, 1e-9)] == [
        "100 %",
        "66 %",
        "1 %",
        "0.067 %",
        "under 0.001 %",
    ]
    assert [memory(0), memory(512)] == ["no memory", "memory 512"]


def test_parts_are_listed_in_words():
    assert [listing(list(parts)) for parts in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_tokens_of_white_space_can_be_seen():
    assert visible("\n    ") == "↵\n␣␣␣␣"
    assert visible("\t") == "⇥\t"
    assert visible(" name") == " name"


def test_summary_says_what_was_measured_and_which_claims_hold(values):
    assert summary(parse_results(values)) == (
        "With a memory of 32,768 tokens, memorizing-tiny needs 1.610 bits for each byte of text it has never seen: "
        "0.036 fewer than with no memory and 0.048 fewer than transformer-xl-tiny; 3 of 4 comparisons below hold, "
        "and “another document's memory against no memory” does not."
    )


def test_summary_keeps_the_sign_of_a_loss_that_memory_made_worse(values):
    values["models"]["memorizing-tiny"]["bits_per_byte"]["32768"] = 1.7
    values["models"]["transformer-xl-tiny"]["bits_per_byte"]["0"] = 1.70001
    said = summary(parse_results(values))
    assert "0.054 more than with no memory and as many as transformer-xl-tiny" in said
    assert "fewer" not in said


def test_summary_without_comparisons_claims_nothing(values):
    values["comparisons"] = []
    assert summary(parse_results(values)).endswith("so these differences may be chance.")


def test_summary_counts_the_comparisons_that_hold(values):
    values["comparisons"] = values["comparisons"][:3]
    assert summary(parse_results(values)).endswith("; all 3 comparisons below hold.")
    values["comparisons"] = values["comparisons"][:1]
    assert summary(parse_results(values)).endswith("; the comparison below holds.")
    values["comparisons"][0]["holds"] = False
    assert "0 of 1 comparisons below hold, and “" in summary(parse_results(values))


def test_summary_of_a_model_without_memory_does_not_mention_memory(bare):
    assert summary(parse_results(bare)).startswith("vanilla needs 2.500 bits for each byte of text it has never seen;")


@pytest.mark.parametrize(
    ("interval", "holds", "said"),
    [([-2, -1], True, "holds"), ([-1, 1], False, "not shown"), ([1, 2], False, "does not hold")],
)
def test_verdict_tells_doubt_from_refutation(values, interval, holds, said):
    comparison = values["comparisons"][0] | {"interval": interval, "holds": holds}
    assert verdict(parse_results(values | {"comparisons": [comparison]}).comparisons[0]) == said


def test_fairness_names_what_is_equal_and_what_is_not():
    one = Model(params=10000, tokens=50, seeds=(0, 1), bits_per_byte={"0": 1.0})
    assert fairness([one]) == ""
    assert fairness([one, one.replace(params=10009)]) == "The models have equal parameters, training tokens and seeds."
    other = one.replace(params=10020, seeds=(0,))
    assert fairness([one, other]) == "The models have equal training tokens but different parameters and seeds."
    assert fairness([one, other.replace(tokens=90)]).startswith("The models have different parameters, training")


def test_nested_values_become_dotted_names():
    nested = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": True}, 0.5], "f": {}, "g": None, "h": False, "i": 0}
    assert list(flat(nested)) == [
        ("a.b", "1"),
        ("a.c", "1, 2"),
        ("d.0.e", "yes"),
        ("d.1", "0.5"),
        ("f", "none"),
        ("g", "none"),
        ("h", "no"),
        ("i", "0"),
    ]
    assert plain("text") == "text"
