import pytest

from mnemon.config import Problem
from mnemon.train import TrainConfig


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


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'warmup'"):
        TrainConfig.parse({"warm_up": 3}, "train")
