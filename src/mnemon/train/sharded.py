import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from mnemon.model import AdaptiveSpan
from mnemon.train.engine import Engine, Loss, MakeOptimizers, Place, learned
from mnemon.train.flat import flatten, unflatten
from mnemon.train.ranks import Ranks

ELEMENTWISE = (AdamW,)  # optimisers to which a tensor's rows are tensors of their own


@dataclass(frozen=True)
class Held:
    """One parameter of the model, and what this rank's optimiser moves in its place.

    `held` is the parameter itself where all ranks have it whole; else its rows on this rank, sharing their storage; or,
    where an optimiser needs the matrix, a whole copy on the rank `owner` and None on the others.
    """

    name: str
    parameter: nn.Parameter
    held: nn.Parameter | None
    owner: int | None = None

    @property
    def place(self) -> Place | None:
        """Which rows `held` are, where they are not all."""
        if self.owner is not None or not isinstance(self.parameter, DTensor):
            return None
        return rows_of(self.parameter)


class Sharded(Engine):
    """Each rank holds a share of the rows of every weight, by FSDP2, layer by layer.

    AdamW moves each rank's rows where they are. Other optimisers look at whole tensors (Muon's orthogonal steps,
    Adafactor's and Adagrad's norms): each of those is owned by one rank, which keeps the whole of it with its moments,
    gets the whole gradient and gives each rank its rows back. So every optimiser does what it does on one process.
    Learned spans are a number a head and stay whole: their penalty is read when their layer's weights are gone again.
    """

    def __init__(self, model: nn.Module, make: MakeOptimizers, ranks: Ranks):
        self.ranks, self.model = ranks, model
        spans = {p for m in model.modules() if isinstance(m, AdaptiveSpan) for p in m.parameters() if p.requires_grad}
        # Where the model is, and not on a GPU because there is one.
        mesh = init_device_mesh(next(model.parameters()).device.type, (dist.get_world_size(),))
        for layer in cast(Any, model).layers:
            fully_shard(layer, mesh=mesh, ignored_params=spans)
        self._loss = Loss(model)
        fully_shard(self._loss, mesh=mesh, ignored_params=spans)
        self.optimizers = make(model)
        self._held = list(self._stand_ins())
        self.names = {id(each.held): each.name for each in self._held if each.held is not None}

    def forward(self, tokens: Tensor, targets: Tensor, state: Any, lengths: Tensor) -> tuple[Tensor, Tensor, Any]:
        found: tuple[Tensor, Tensor, Any] = self._loss(tokens, targets, state, lengths)
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        sharded = cast(Any, self._loss)
        sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            sharded.set_requires_gradient_sync(True)

    @torch.no_grad()
    def clip(self, limit: float) -> Tensor:
        for each in self._held:
            self._bring(each)
        # Every number of the gradient is held once over all ranks, but for what each of them has whole.
        once = [e.held.grad for e in self._held if e.held is not None and e.held is not e.parameter]
        shared = [e.held.grad for e in self._held if e.held is e.parameter]
        norm = (self.ranks.sum(_square(once, like=self._like)) + _square(shared, like=self._like)).sqrt()
        if math.isfinite(limit):
            share = (limit / (norm + 1e-6)).clamp(max=1.0)
            for grad in (*once, *shared):
                if grad is not None:
                    grad.mul_(share)
        return norm

    @torch.no_grad()
    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()
        for each in self._held:
            if each.owner is not None:
                self._spread(each)
        self.zero_grad()

    def zero_grad(self) -> None:
        self.model.zero_grad()
        for each in self._held:
            if each.held is not None:
                each.held.grad = None

    def weights(self) -> dict[str, Tensor]:
        """What all ranks have whole, the first gives for all."""
        found = learned(self.model)
        return {name: local(t) for name, t in found.items() if isinstance(t, DTensor) or self.ranks.first}

    def moments(self) -> dict[str, Tensor]:
        whole = set() if self.ranks.first else {e.name for e in self._held if e.held is e.parameter}
        found = flatten(self.optimizers, self.names)
        return {key: value for key, value in found.items() if key.rpartition("/")[0] not in whole}

    def places(self) -> dict[str, Place]:
        found = {name: rows_of(t) for name, t in self.model.state_dict().items() if isinstance(t, DTensor)}
        shapes = {e.name: (e.held.shape, e.place) for e in self._held if e.held is not None and e.place is not None}
        for key, value in self.moments().items():
            shape, place = shapes.get(key.rpartition("/")[0], (None, None))
            if place is not None and value.shape == shape:
                found[key] = place
        return found

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        own = learned(self.model)
        if weights.keys() != own.keys():
            raise ValueError("other weights learn there")
        for name, tensor in own.items():
            found = weights[name]
            if found.shape != tensor.shape:
                raise ValueError(f"{name} is {list(found.shape)} there")
            local(tensor).copy_(_cut(found, rows_of(tensor) if isinstance(tensor, DTensor) else None))
        for each in self._held:
            if each.owner is not None and each.held is not None:
                each.held.copy_(weights[each.name])
        held = {each.name: each for each in self._held if each.held is not None}
        taken = {}
        for key in moments:
            each_held = held.get(key.rpartition("/")[0])
            if each_held is not None:
                value = moments[key]
                whole = value.shape == each_held.parameter.shape
                taken[key] = _cut(value, each_held.place if whole else None)
        unflatten(self.optimizers, {name: cast(nn.Parameter, each.held) for name, each in held.items()}, taken)

    @torch.no_grad()
    def gather(self) -> None:
        whole: dict[int, nn.Parameter] = {}  # a weight that two modules share is one weight afterwards too
        for module in self.model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                if isinstance(parameter, DTensor):
                    if id(parameter) not in whole:
                        full = cast(DTensor, parameter.detach()).full_tensor()
                        whole[id(parameter)] = nn.Parameter(full, parameter.requires_grad)
                    setattr(module, name, whole[id(parameter)])

    @property
    def _like(self) -> Tensor:
        return local(next(self.model.parameters()))

    def _stand_ins(self) -> Iterator[Held]:
        """Put what this rank's optimisers are to move in the place of the parameters of the model."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        owned = 0
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                found = []
                for parameter in group["params"]:
                    name = names[id(parameter)]
                    if not isinstance(parameter, DTensor):
                        found.append(Held(name, parameter, parameter))
                    elif isinstance(optimizer, ELEMENTWISE):
                        rows = nn.Parameter(local(parameter))
                        found.append(Held(name, cast(nn.Parameter, parameter), rows))
                    else:
                        owner, owned = owned % self.ranks.size, owned + 1
                        whole = cast(DTensor, parameter.detach()).full_tensor()
                        mine = nn.Parameter(whole) if owner == self.ranks.rank else None
                        found.append(Held(name, cast(nn.Parameter, parameter), mine, owner))
                group["params"] = [each.held for each in found if each.held is not None and each.held.numel()]
                yield from found

    def _bring(self, each: Held) -> None:
        """Give what stands in for a parameter that parameter's gradient."""
        grad = each.parameter.grad
        if grad is None:
            return
        if each.held is each.parameter:
            each.parameter.grad = self.ranks.sum(grad) / self.ranks.size
        elif each.owner is None:
            assert each.held is not None
            each.held.grad = local(grad)
        else:
            whole = cast(DTensor, grad).full_tensor()  # asked of all ranks, used by one
            if each.held is not None:
                each.held.grad = whole

    def _spread(self, each: Held) -> None:
        """Give each rank its rows of a weight that another has moved."""
        assert each.owner is not None
        rows = local(each.parameter)
        whole = rows.new_empty(each.parameter.shape) if each.held is None else each.held.detach()
        dist.broadcast(whole, each.owner)
        first, last = rows_of(cast(DTensor, each.parameter))
        rows.copy_(whole[first:last])


def local(tensor: Tensor) -> Tensor:
    """The rows of a sharded tensor that are here, in their own storage; any other tensor itself."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def rows_of(tensor: DTensor) -> Place:
    """Which rows are here: FSDP2 gives each rank as many, the last ones what is left."""
    rows, size = tensor.shape[0], tensor.device_mesh.size()
    each = -(-rows // size)
    first = min(tensor.device_mesh.get_local_rank() * each, rows)
    return first, min(first + each, rows)


def _square(grads: Iterable[Tensor | None], like: Tensor) -> Tensor:
    """The sum of the squares of all numbers."""
    found = [grad.square().sum() for grad in grads if grad is not None and grad.numel()]
    return torch.stack(found).sum() if found else like.new_zeros(())


def _cut(tensor: Tensor, place: Place | None) -> Tensor:
    """Rows of a whole tensor, in a storage of their own."""
    return tensor if place is None else tensor[place[0] : place[1]].clone()
