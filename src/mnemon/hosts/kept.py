from collections.abc import Callable

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


class Kept:
    """What is made of tensors, once for each of their states and as long as they live. A copy begins with nothing."""

    def __init__(self) -> None:
        self._made: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def __reduce__(self) -> tuple[type["Kept"], tuple[()]]:
        return Kept, ()

    def of(self, tensor: Tensor, version: int, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(tensor)`, made anew where `version` is not that of the last time."""
        last, made = self._made.get(tensor, (None, tensor))
        if last != version:
            made = make(tensor)
            self._made[tensor] = version, made
        return made
