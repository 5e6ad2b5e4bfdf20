import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from mnemon.train.flat import flatten, unflatten
from mnemon.train.ranks import Ranks

# Of a tensor of which this rank holds only some rows: the first of them, the one behind the last.
Place = tuple[int, int]
MakeOptimizers = Callable[[nn.Module], list[Optimizer]]


class Loss(nn.Module):
    """A model and its head in one forward, so that an engine sees both: (sum of nll, penalty, update)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor, state: Any, lengths: Tensor) -> tuple[Tensor, Tensor, Any]:
        model = cast(Any, self.model)
        output, update = model(tokens, state, lengths)
        return model.head.nll(output.hidden, targets).sum(), output.penalty, update


class Engine(ABC):
    """How the ranks hold the weights of a model, and how their gradients come together: as the mean over the ranks.

    `optimizers` move what this rank holds of the weights, `names` those parameters by `id`.
    """

    optimizers: Sequence[Optimizer]
    names: Mapping[int, str]

    @abstractmethod
    def forward(self, tokens: Tensor, targets: Tensor, state: Any, lengths: Tensor) -> tuple[Tensor, Tensor, Any]:
        """(sum of nll, penalty, update) of one micro-batch."""

    @abstractmethod
    def alone(self) -> contextlib.AbstractContextManager[object]:
        """Inside, gradients are added up on this rank; the next backward outside brings them together."""

    @abstractmethod
    def clip(self, limit: float) -> Tensor:
        """Bring the gradient of all ranks to at most this norm; the norm before."""

    @abstractmethod
    def step(self) -> None:
        """Let the optimisers act, and forget the gradients."""

    @abstractmethod
    def zero_grad(self) -> None:
        """Forget the gradients."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What this rank has to write of the weights that learn, by name."""

    @abstractmethod
    def places(self) -> dict[str, Place]:
        """Of those weights and moments of which this rank holds some rows only: which."""

    @abstractmethod
    def load(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        """Take over whole weights and moments: of each, what this rank holds."""

    @abstractmethod
    def gather(self) -> None:
        """Every rank holds all weights whole from now on; the training is over."""

    @abstractmethod
    def moments(self) -> dict[str, Tensor]:
        """What this rank has to write of the optimisers' state, as `parameter/quantity`."""


class Whole(Engine):
    """Every rank holds all weights; alone, or with gradients averaged by DistributedDataParallel as backward goes."""

    def __init__(self, model: nn.Module, make: MakeOptimizers, ranks: Ranks):
        self.model, self.ranks = model, ranks
        self._wrapped = nn.parallel.DistributedDataParallel(Loss(model)) if ranks.size > 1 else None
        self._loss = self._wrapped or Loss(model)
        self.optimizers = make(model)
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}

    def forward(self, tokens: Tensor, targets: Tensor, state: Any, lengths: Tensor) -> tuple[Tensor, Tensor, Any]:
        found: tuple[Tensor, Tensor, Any] = self._loss(tokens, targets, state, lengths)
        return found

    def alone(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self._wrapped is None else self._wrapped.no_sync()

    def clip(self, limit: float) -> Tensor:
        learning = [p for p in self.model.parameters() if p.grad is not None]
        total = nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
        if total.item() > limit:  # else nothing is touched: a pass over all gradients less
            nn.utils.clip_grads_with_norm_(learning, limit, total)
        return total

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def zero_grad(self) -> None:
        self.model.zero_grad()

    def weights(self) -> dict[str, Tensor]:
        return learned(self.model) if self.ranks.first else {}

    def moments(self) -> dict[str, Tensor]:
        return flatten(self.optimizers, self.names) if self.ranks.first else {}

    def places(self) -> dict[str, Place]:
        return {}

    def gather(self) -> None:
        """They are whole."""

    def load(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        if weights.keys() != learned(self.model).keys():
            raise ValueError("other weights learn there")
        self.model.load_state_dict(dict(weights), strict=False)
        unflatten(self.optimizers, dict(self.model.named_parameters()), moments)


def learned(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a model by name, without weights that do not learn."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
