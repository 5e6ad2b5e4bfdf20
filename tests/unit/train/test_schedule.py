import pytest

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
