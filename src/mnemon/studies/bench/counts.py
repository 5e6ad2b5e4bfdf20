from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Counts:
    """What does not depend on the machine: `operations` of products, `bytes` of new tensors, `calls` of the library."""

    operations: int
    bytes: int
    calls: int


class _Calls(TorchDispatchMode):
    """Counts calls, and the bytes of results that are no view of what was given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        made = {
            _storage(each): each.untyped_storage().nbytes()
            for each in tree_leaves(result)
            if isinstance(each, torch.Tensor) and _storage(each) not in given
        }
        self.calls += 1
        self.bytes += sum(made.values())
        return result


def counting() -> FlopCounterMode:
    """A counter of the operations of products: PyTorch's, which by itself does not see a matrix times a vector."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mv: _matrix_vector})


def _matrix_vector(matrix: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def counted(act: Callable[[], object]) -> Counts:
    """What one call of `act` takes, forward and backward; libraries other than torch are not seen."""
    with counting() as products, _Calls() as calls:
        act()
    return Counts(products.get_total_flops(), calls.bytes, calls.calls)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
