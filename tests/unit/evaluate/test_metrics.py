import math
from dataclasses import replace

import numpy as np
import pytest

from mnemon.evaluate import METRICS, Scored


def scored(nats: list[float], sizes: list[int], first: int = 0) -> Scored:
    return Scored("d", np.arange(first, first + len(nats)), np.array(nats, np.float32), np.array(sizes))


DOCUMENTS = [scored([1.0, 2.0, 3.0], [1, 1, 2]), scored([6.0], [8])]


def test_metrics_weigh_every_token_alike() -> None:
    assert METRICS["nats_per_token"](DOCUMENTS) == pytest.approx(3.0)
    assert METRICS["perplexity"](DOCUMENTS) == pytest.approx(math.exp(3.0))


def test_a_perplexity_without_line_ends_needs_other_tokens() -> None:
    ends = replace(DOCUMENTS[0], eos=np.array([False, False, True]))
    assert METRICS["perplexity_without_eos"]([ends]) == pytest.approx(math.exp(1.5))
    assert METRICS["perplexity"]([ends]) == pytest.approx(math.exp(2.0))
    assert METRICS["perplexity_without_eos"]([replace(ends, eos=np.full(3, True))]) is None
    assert METRICS["perplexity_without_eos"](DOCUMENTS) is None


def test_bits_per_byte_is_a_ratio_of_sums() -> None:
    assert METRICS["bits_per_byte"](DOCUMENTS) == pytest.approx(12 / math.log(2) / 12)


def test_positions_are_counted_in_the_document_and_bins_double() -> None:
    long = scored([1.0] * 300, [2] * 300)
    late = scored([math.log(2)] * 2, [1, 3], first=127)
    found = METRICS["by_position"]([long, late])
    assert [(each["from"], each["to"], each["tokens"]) for each in found] == [
        (0, 128, 129),
        (128, 256, 129),
        (256, 512, 44),
    ]
    assert found[2]["bits_per_byte"] == pytest.approx(1 / math.log(2) / 2)
    assert found[0]["bits_per_byte"] == pytest.approx((128 / math.log(2) + 1) / 257)
    assert list(found[0]) == ["from", "to", "bits_per_byte", "tokens"]


def test_bins_together_hold_every_token() -> None:
    found = METRICS["by_position"]([scored([1.0] * 1000, [1] * 1000), *DOCUMENTS])
    assert sum(each["tokens"] for each in found) == 1004
    assert found[-1]["to"] == 1024
