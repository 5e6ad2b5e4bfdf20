from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.train.parts import Joined, Part, write_tensors


def parts(folder: Path) -> list[Part]:
    """A tensor in two shares, the second one first, and one that only one part has."""
    write_tensors(folder / "a.safetensors", {"w": torch.arange(4.0).view(2, 2), "step": torch.tensor(3)})
    write_tensors(folder / "b.safetensors", {"w": torch.arange(4.0, 10.0).view(3, 2), "none": torch.empty(0, 2)})
    return [
        Part(folder / "b.safetensors", {"w": (2, 5), "none": (0, 0)}),
        Part(folder / "a.safetensors", {"w": (0, 2)}),
    ]


def test_shares_of_a_tensor_are_put_together_by_their_places(tmp_path: Path) -> None:
    whole = Joined(parts(tmp_path))
    assert torch.equal(whole["w"], torch.arange(10.0).view(5, 2))
    assert torch.equal(whole["step"], torch.tensor(3))
    assert whole["none"].shape == (0, 2)
    assert whole.keys() == {"w", "step", "none"}
    assert len(whole) == 3
    assert len(whole.parts[0]) == 2
    for mapping in (whole, whole.parts[0]):
        with pytest.raises(KeyError):
            mapping["other"]


def test_a_file_that_is_damaged_or_gone_is_a_problem(tmp_path: Path) -> None:
    part = parts(tmp_path)[1]
    part.path.unlink()
    with pytest.raises(Problem, match=r"a.safetensors: no such file"):
        part["w"]
    part.path.write_bytes(b"torn")
    with pytest.raises(Problem, match=r"a.safetensors: damaged, or no safetensors file"):
        Part(part.path, {})
