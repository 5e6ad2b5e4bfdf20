import pytest

from mnemon.recipes import recipe
from mnemon.train.schedule import factor


def rates(schedule: str, steps: int = 10, warmup: int = 4, decay: float = 1.0, floor: float = 0.0) -> list[float]:
    return [factor(schedule, step, steps, warmup, decay, floor) for step in range(1, steps + 1)]


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert rates("constant") == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    assert rates("constant", warmup=0) == [1.0] * 10


def test_linear_falls_over_the_last_share_of_the_steps() -> None:
    assert rates("linear", decay=0.4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert rates("linear", decay=0.4, floor=0.2)[-1] == pytest.approx(0.2 + 0.8 * 0.25)


def test_cosine_is_symmetric_about_its_middle() -> None:
    found = rates("cosine", steps=8, warmup=0)
    assert found[0] == 1.0
    assert [a + b for a, b in zip(found[1:], reversed(found[1:]), strict=True)] == pytest.approx([1.0] * 7)
    assert sorted(found, reverse=True) == found
    assert min(found) > 0


def test_a_fall_waits_for_the_end_of_warm_up() -> None:
    assert rates("linear", decay=1.0)[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert rates("cosine", steps=3, warmup=9) == pytest.approx([1 / 9, 2 / 9, 3 / 9])


def test_inverse_square_root_is_that_of_the_paper_scaled_to_its_peak() -> None:
    paper = [min(t, 1000) / 1000 / max(t, 1000) ** 0.5 for t in (1, 500, 1000, 4000)]
    assert [factor("inverse-sqrt", t, 4000, 1000) / 1000**0.5 for t in (1, 500, 1000, 4000)] == pytest.approx(paper)
    assert factor("inverse-sqrt", 4, 10, 0) == 0.5


def test_the_last_steps_are_made_at_a_tenth() -> None:
    assert [factor("constant", t, 10, 4, fine_tune=3) for t in range(1, 11)] == [
        0.25,
        0.5,
        0.75,
        *[1.0] * 4,
        *[0.1] * 3,
    ]
    assert factor("constant", 10, 10, 4, fine_tune=3, fine_tune_share=0.5) == 0.5


@pytest.mark.parametrize(
    ("name", "first_of_last", "steps"),
    [
        ("all-attention-enwik8-small", 450_001, 480_000),
        ("all-attention-enwik8-large", 200_001, 210_000),
        ("all-attention-text8-small", 450_001, 480_000),
        ("all-attention-text8-large", 200_001, 210_000),
        ("all-attention-wikitext103", 800_001, 850_000),
    ],
)
def test_the_recipes_rise_stay_and_end_at_a_tenth(name: str, first_of_last: int, steps: int) -> None:
    config = recipe(name).train

    def rate(step: int) -> float:
        tuning = config.fine_tune, config.fine_tune_share
        return factor(config.schedule, step, config.steps, config.warmup, config.decay, config.floor, *tuning)

    assert config.steps == steps
    assert rate(1) == 1 / config.warmup
    assert [rate(step) for step in (config.warmup, first_of_last - 1, first_of_last, steps)] == [1.0, 1.0, 0.1, 0.1]


def test_the_rate_of_the_memorizing_recipes_is_that_of_the_paper() -> None:
    config = recipe("memorizing").train
    for t in (1, 10, 1000, 1001, 500_000):
        found = config.lr * factor(config.schedule, t, config.steps, config.warmup)
        assert found == pytest.approx(min(t, 1000) / 1000 / max(t, 1000) ** 0.5)
