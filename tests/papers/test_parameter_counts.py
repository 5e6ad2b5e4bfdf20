"""Parameters of the published sizes: our own sums, and the papers' rounded figures."""

from itertools import pairwise
from typing import get_args

import pytest

from mnemon.pools.persistent import Form
from mnemon.recipes import count_parameters, recipe


def all_attention(layers: int, n: int, vocabulary: int) -> int:
    """L (4 d^2 + 2 N d + 2 d + H) + d_h S + V (2 d + 1), with d = 512, H = 8, d_h = 64, S = 8192."""
    d = 512
    return layers * (4 * d * d + 2 * n * d + 2 * d + 8) + 64 * 8192 + vocabulary * (2 * d + 1)


def wikitext() -> int:
    """36 layers of 2048 vectors a head, positions up to 2048, and the words in clusters."""
    d = 512
    return 36 * (4 * d * d + 2 * 2048 * d + 2 * d + 8) + 64 * 2048 + clusters(d)


def clusters(d: int) -> int:
    """Four clusters of width d, d/4, d/16, d/64, each projected to d; a bias a word; three cluster rows with bias."""
    cuts, widths = (0, 20_000, 40_000, 200_000, 267_735), [d // 4**i for i in range(4)]
    words = sum((last - first) * width for (first, last), width in zip(pairwise(cuts), widths, strict=True))
    return words + d * sum(widths) + cuts[-1] + 3 * (d + 1)


def adaptive_span(layers: int, d: int, f: int, vocabulary: int) -> int:
    """L (4 d^2 + 2 d F + F + d + 4 d + H) + d_h S + V (2 d + 1), with H = 8, S = 8192."""
    return layers * (4 * d * d + 2 * d * f + f + d + 4 * d + 8) + d // 8 * 8192 + vocabulary * (2 * d + 1)


def transformer_xl(layers: int, d: int, heads: int, f: int) -> int:
    """L (5 d H d_h + 2 d F + F + d + 4 d + 2 H d_h): W_r is the fifth matrix, u and v come last."""
    return layers * (5 * d * heads + 2 * d * f + f + d + 4 * d + 2 * heads)


def memorizing(layers: int, d: int, heads: int, width: int, f: int, matrices: int = 2) -> int:
    """L (4 d H d_h + 2 d F + 2 d + 33 H) + H + d + V d, with V = 32,128; 3 d F where the feed-forward is gated."""
    layer = 4 * d * heads * width + matrices * d * f + 2 * d + 33 * heads
    return layers * layer + heads + d + 32_128 * d


SIZES = [
    ("all-attention-enwik8-small", 38_501_725, all_attention(18, 1024, 205), "38.50M"),
    ("all-attention-enwik8-large", 114_017_773, all_attention(36, 2048, 205), "114.02M"),
    ("all-attention-text8-small", 38_320_300, all_attention(18, 1024, 28), "38.32M"),
    ("all-attention-text8-large", 113_836_348, all_attention(36, 2048, 28), "113.84M"),
    ("all-attention-wikitext103", 132_493_746, wikitext(), "132.49M"),
    ("adaptive-span-enwik8-small", 38_538_541, adaptive_span(12, 512, 2048, 205), "38.54M"),
    ("adaptive-span-enwik8-large", 208_910_221, adaptive_span(24, 768, 4096, 205), "208.91M"),
    ("adaptive-span-text8-small", 38_357_116, adaptive_span(12, 512, 2048, 28), "38.36M"),
    ("adaptive-span-text8-large", 208_638_172, adaptive_span(24, 768, 4096, 28), "208.64M"),
    ("transformer-xl-dai", 41_172_173, transformer_xl(12, 512, 512, 2048) + 205 * 1025, "41.17M"),
    ("transformer-xl-dai-enwik8-large", 277_489_869, transformer_xl(24, 1024, 1024, 3072) + 205 * 2049, "277.49M"),
    ("transformer-xl-dai-text8-large", 277_127_196, transformer_xl(24, 1024, 1024, 3072) + 28 * 2049, "277.13M"),
    (  # a bias a word and three cluster rows with theirs; the tables of all clusters are as wide as the model
        "transformer-xl-dai-wikitext103-base",
        151_119_838,
        transformer_xl(16, 410, 410, 2100) + 267_735 * 411 + 3 * 411,
        "151.12M",
    ),
    (
        "transformer-xl-dai-wikitext103-large",
        284_156_746,
        transformer_xl(18, 1024, 1024, 4096) + clusters(1024),
        "284.16M",
    ),
    ("memorizing-200m", 183_922_792, memorizing(12, 1024, 8, 128, 4096), "183.92M"),
    ("memorizing-37m", 54_214_248, memorizing(12, 512, 8, 64, 2048), "54.21M"),
    ("memorizing-75m", 91_962_984, memorizing(12, 512, 8, 128, 4096), "91.96M"),
    ("memorizing-300m", 334_920_912, memorizing(12, 1024, 16, 128, 8192), "334.92M"),
    ("memorizing-600m", 669_835_472, memorizing(12, 2048, 16, 128, 8192), "669.84M"),
    ("memorizing-1200m", 1_273_821_600, memorizing(12, 2048, 32, 128, 16_384), "1273.82M"),
    ("memorizing-1b", 1_139_583_264, memorizing(8, 2048, 32, 128, 16_384, 3), "1139.58M"),
    ("memorizing-8b", 8_721_699_904, memorizing(16, 4096, 64, 128, 32_768, 3), "8721.70M"),
]


@pytest.mark.parametrize(("name", "exact", "formula", "rounded"), SIZES, ids=[size[0] for size in SIZES])
def test_a_published_size_has_exactly_its_parameters(name: str, exact: int, formula: int, rounded: str) -> None:
    found = count_parameters(recipe(name).model)
    assert found.total == formula == exact
    assert f"{found.total / 1e6:.2f}M" == rounded
    assert sum(found.parts.values()) == found.total


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize(
    ("name", "n"), [*(("all-attention-tiny", n) for n in (0, 512, 4096)), ("all-attention-text8-large", 2048)]
)
def test_every_form_has_the_parameters_of_the_first(name: str, form: str, n: int) -> None:
    config = recipe(name).model.replace(pools__persistent__n=n)
    config = config.replace(vocab_size=config.vocab_size or 1024)
    plain, formed = (count_parameters(config.replace(pools__persistent__form=each)) for each in ("all-attn", form))
    assert formed.total == pytest.approx(plain.total, rel=0.001)
    # ff-attn has a second norm in each layer; the heads of head-split that see no context need no span
    more = {"ff-attn": 2 * config.dim, "head-split": -config.n_heads // 2}.get(form, 0) if n else 0
    assert formed.total == plain.total + config.n_layers * more
    assert bool(formed.parts.get("persistent vectors")) == (n > 0 and form != "ff-attn")
    assert ("feed-forward" in formed.parts) == (n > 0 and form == "ff-attn")


def test_without_vectors_36_layers_have_38_million_parameters_of_attention() -> None:
    config = recipe("all-attention-text8-large").model.replace(pools__persistent__n=0)
    assert count_parameters(config).parts["attention projections"] == 36 * 4 * 512**2 == 37_748_736


def test_the_tiny_baseline_has_the_parameters_of_the_tiny_all_attention_network() -> None:
    plain, baseline = (
        count_parameters(recipe(name).model.replace(vocab_size=1024))
        for name in ("all-attention-tiny", "adaptive-span-tiny")
    )
    assert baseline.total == pytest.approx(plain.total, rel=0.001)
    assert {*plain.parts} ^ {*baseline.parts} == {"persistent vectors", "feed-forward"}


def test_persistent_vectors_take_the_place_of_a_feedforward_layer_of_equal_size() -> None:
    memorizing, both = (count_parameters(recipe(name).model) for name in ("memorizing", "memorizing-all-attention"))
    assert both.parts["persistent vectors"] == memorizing.parts["feed-forward"]
    assert "feed-forward" not in both.parts


@pytest.mark.parametrize(
    ("name", "gated", "head_dim", "layers", "said"),
    [
        ("memorizing-1b", True, 128, 1.074, "as the recipe reads the shape"),
        ("memorizing-1b", False, 256, 1.074, "the other reading"),
        ("memorizing-1b", False, 128, 0.805, "neither"),
        ("memorizing-8b", True, 128, 8.590, "as the recipe reads the shape"),
        ("memorizing-8b", False, 256, 8.590, "the other reading"),
        ("memorizing-8b", False, 128, 6.443, "neither"),
    ],
)
def test_the_large_shapes_give_their_sizes_in_two_readings(
    name: str, gated: bool, head_dim: int, layers: float, said: str
) -> None:
    found = count_parameters(recipe(name).model.replace(feedforward__gated=gated, head_dim=head_dim))
    assert round((found.total - found.parts["embedding"]) / 1e9, 3) == layers, said
