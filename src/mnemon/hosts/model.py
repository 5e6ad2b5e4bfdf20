"""A host with its memory live stands in for one of our models, for whatever trains and evaluates those."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mnemon.config import Problem
from mnemon.hosts.lanes import Fresh, LaneMemory
from mnemon.hosts.memory import Memory
from mnemon.hosts.segments import prefix
from mnemon.hosts.support import layers
from mnemon.model import Output
from mnemon.ops import wide


@dataclass(frozen=True)
class Heard:
    """What a segment was for the host: its tokens [b t], of which `lengths` are real, and what each layer showed."""

    tokens: Int[Tensor, "b t"]
    lengths: Int[Tensor, " b"]
    fresh: Fresh


class HostState:
    """What the rows of a batch remember, as a `MemoryState` does: the lanes, and the newest tokens of each row.

    The last `overlap` tokens of a row are fed once more with its next segment, as context.
    """

    def __init__(self, lanes: LaneMemory, segment: int, overlap: int):
        self.lanes, self.segment = lanes, segment
        self.tail = torch.zeros(lanes.rows, overlap, dtype=torch.long)
        self.count = torch.zeros(lanes.rows, dtype=torch.long)

    @property
    def remembers(self) -> bool:
        """A host that was given a memory has one."""
        return True

    def reset(self, rows: Bool[Tensor, " b"], memory: bool = True) -> None:
        """Forget the past of `rows`; with `memory=False` the memory stays, and only the context goes."""
        self.count = self.count.masked_fill(rows.cpu(), 0)
        if memory:
            self.lanes.reset(rows)

    def commit(self, update: Heard, ends: Bool[Tensor, " b"] | None = None, memory: bool = True) -> None:
        """Write a segment; with `memory=False` it becomes context of the next one, nothing more."""
        self.lanes.leave()
        self.lanes.commit(update.lengths, update.fresh, memory)
        known = torch.cat([self.tail, update.tokens], dim=1)
        newest = update.lengths[:, None] + torch.arange(self.tail.shape[1])
        self.tail = known.gather(1, newest)
        self.count = (self.count + update.lengths).clamp(max=self.tail.shape[1])

    def shuffled(self, seed: int) -> "HostState":
        """A state to read with, a control: values are dealt out anew among the remembered keys of each row."""
        mixed = HostState(self.lanes.shuffled(seed), self.segment, self.tail.shape[1])
        mixed.tail, mixed.count = self.tail, self.count
        return mixed

    def tensors(self) -> dict[str, Tensor]:
        """Everything remembered, by name, for a checkpoint."""
        return {"tail": self.tail, "count": self.count, **self.lanes.tensors()}

    def load(self, tensors: Mapping[str, Tensor], device: torch.device | None = None) -> None:
        """Take over what `tensors` of another state gave."""
        self.tail, self.count = tensors["tail"].clone(), tensors["count"].clone()
        self.lanes.load({name: tensor if tensor.ndim < 2 else tensor.to(device) for name, tensor in tensors.items()})


class HostHead(nn.Module):
    """Losses of a host's own logits, which stand where our models give hidden states."""

    def nll(self, hidden: Float[Tensor, "b t vocabulary"], targets: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """-log p(target) in nats; 0 where the target is negative."""
        losses = functional.cross_entropy(
            wide(hidden.flatten(0, 1)), targets.flatten().clamp(min=-1), ignore_index=-1, reduction="none"
        )
        return losses.view(targets.shape)


class HostModel(nn.Module):
    """A host that reads documents side by side, segment by segment, each row with a memory of its own.

    A segment is `config.segment` tokens as in `Memory.read`, of which `config.overlap` repeat what came before, after
    the special tokens that the host expects before a text. What it remembers is what `Memory.read` with
    `sees="document"` would. `negatives`: see `LaneMemory`. `size`: entries of each row where nothing else is asked for,
    0 for a host that learns without.
    """

    def __init__(self, memory: Memory, negatives: int = 0, size: int | None = None):
        super().__init__()
        self.host, self.head = memory.model, HostHead()
        self.special = prefix(memory.tokenizer)
        self.segment = memory.config.segment - memory.config.overlap - len(self.special)
        if self.segment < 1:
            raise Problem(
                f"a segment of {memory.config.segment} tokens has no room for {len(self.special)} special ones and "
                f"{memory.config.overlap} repeated"
            )
        self.negatives, self.size = negatives, size
        self._memory = [memory]  # in a list: it is no part of the module
        self._short = "logits_to_keep" in inspect.signature(self.host.forward).parameters

    @property
    def layers(self) -> nn.ModuleList:
        """The host's, one after the other."""
        return layers(self.host)

    def init_state(self, rows: int, memory: int | None = None) -> HostState:
        """Rows that remember nothing yet; `memory`: entries of each, instead of the config's."""
        (held,) = self._memory
        lanes = LaneMemory(held, rows, min(self.negatives, rows - 1), self.size if memory is None else memory)
        return HostState(lanes, self.segment, held.config.overlap)

    def forward(self, tokens: Int[Tensor, "b t"], state: HostState, lengths: Int[Tensor, " b"]) -> tuple[Output, Heard]:
        """Logits of a segment, and what its rows are to remember of it."""
        device, (t, behind) = tokens.device, (tokens.shape[1], len(self.special))
        fresh = behind + state.count  # where each row's new tokens begin
        ids = self._fed(tokens, state)
        least = int(fresh.min())
        settings = {"logits_to_keep": ids.shape[1] - least} if self._short else {}
        state.lanes.begin(None, behind, state.count)
        state.lanes.enter()  # until `commit`: where activations are computed again, backward asks once more
        logits = self.host(input_ids=ids, use_cache=False, **settings).logits
        place = (fresh - (least if self._short else 0)).to(device)[:, None] + torch.arange(t, device=device)
        logits = logits.gather(1, place[:, :, None].expand(-1, -1, logits.shape[-1]))
        heard = Heard(tokens.cpu(), lengths.cpu(), state.lanes.fresh)
        return Output(logits, logits.new_zeros(())), heard

    def _fed(self, tokens: Tensor, state: HostState) -> Tensor:
        """Special tokens, each row's context and its segment, one after the other; behind the end anything."""
        overlap, n = state.tail.shape[1], int(state.count.max())
        known = torch.cat([state.tail.to(tokens.device), tokens], dim=1)
        first = (overlap - state.count).to(tokens.device)[:, None]
        place = (first + torch.arange(n + tokens.shape[1], device=tokens.device)).clamp(max=known.shape[1] - 1)
        special = torch.tensor(self.special, dtype=torch.long, device=tokens.device).expand(len(tokens), -1)
        return torch.cat([special, known.gather(1, place)], dim=1)

    def project_(self) -> None:
        """A host has nothing to project."""
