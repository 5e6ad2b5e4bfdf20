import pytest

from mnemon.config import Problem
from mnemon.train import TrainConfig
from mnemon.train.config import dealt


def test_lanes_must_be_dealt_evenly_to_micro_batches() -> None:
    with pytest.raises(Problem, match="lanes 8 cannot be dealt to accumulate 3"):
        TrainConfig.parse({"lanes": 8, "accumulate": 3}, "train")


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", 0), ("lr", 0.0), ("clip", -1.0), ("keep", 0), ("schedule", "cosin"), ("precision", "float16")],
)
def test_a_value_out_of_range_is_a_problem_naming_it(key: str, value: object) -> None:
    with pytest.raises(Problem, match=f"train: {key}"):
        TrainConfig.parse({key: value}, "train")


def test_no_more_steps_are_for_fine_tuning_than_there_are() -> None:
    with pytest.raises(Problem, match="fine_tune 30,000 are the last of 20 steps: give fewer of them, or 0"):
        TrainConfig.parse({"steps": 20, "fine_tune": 30_000}, "train")


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'warmup'"):
        TrainConfig.parse({"warm_up": 3}, "train")


@pytest.mark.parametrize(("segment", "lanes"), [(512, 256), (2048, 64), (1024, 128)])
def test_lanes_follow_from_the_tokens_of_a_step(segment: int, lanes: int) -> None:
    found = dealt(TrainConfig(lanes=0, step_tokens=2**17), segment)
    assert (found.lanes, found.segment) == (lanes, segment)
    assert dealt(found, segment) == found
    assert dealt(TrainConfig(lanes=0, step_tokens=2**17, segment=segment), 7).lanes == lanes


def test_without_tokens_of_a_step_only_the_segment_is_filled_in() -> None:
    assert dealt(TrainConfig(lanes=3), 16) == TrainConfig(lanes=3, segment=16)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"lanes": 4, "step_tokens": 100},
            r"lanes 4 of segment 16 are 64 tokens a step, not step_tokens 100: .* lanes 0",
        ),
        ({"lanes": 0, "step_tokens": 100}, "step_tokens 100: segment 16 and accumulate 1 do not divide it"),
        ({"lanes": 0, "step_tokens": 48, "accumulate": 2}, "step_tokens 48: segment 16 and accumulate 2 do not divide"),
        ({"lanes": 0}, "lanes 0 follow from the tokens of a step: give step_tokens"),
    ],
)
def test_lanes_that_cannot_follow_are_a_problem(values: dict[str, int], said: str) -> None:
    with pytest.raises(Problem, match=said):
        dealt(TrainConfig.parse(values, "train"), 16)
