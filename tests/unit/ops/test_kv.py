import pytest
import torch

from mnemon.ops import wide, write_count


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_wide_means_float32_at_least(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert wide(torch.ones(3, dtype=dtype)).dtype == expected


def test_every_write_in_place_is_counted_also_through_a_view() -> None:
    x = torch.zeros(2, 3)
    before = write_count(x)
    x.view(6).index_copy_(0, torch.tensor([4]), torch.ones(1))
    assert write_count(x) > before


def test_a_tensor_of_inference_mode_has_no_count_and_does_not_fail() -> None:
    with torch.inference_mode():
        x = torch.zeros(2)
        x.add_(1)
    assert write_count(x) == 0
