from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import Cache

from mnemon.config import Problem
from mnemon.hub.packing import Packed
from mnemon.hub.reading import Reading, pieces, read
from mnemon.model import MemoryState, Transformer
from mnemon.pools import Fresh


@dataclass
class _Past:
    """What is needed to take back the newest tokens: the state before them, and every commit since.

    `real` is False for the columns that were padding.
    """

    state: MemoryState
    real: Bool[Tensor, "b t"]
    updates: list[list[Fresh]] = field(default_factory=list)


class MnemonCache(Cache):
    """What the rows of a batch remember, as a cache of transformers: the owner of a `MemoryState`.

    It counts the tokens of the present text, `get_seq_length()`, as caches do. Documents that were read into the
    memory before (`model.read(...)`) are not among them. `memory`: entries of the kNN memory (None: as configured).
    A text is written to the cache that it is generated with; a copy (`copy.deepcopy`) stays as it is.
    """

    def __init__(self, memory: int | None = None):
        super().__init__(layers=[])
        self.memory, self.length = memory, 0
        self.state: MemoryState | None = None
        self._recording = False
        self._past: _Past | None = None

    def read(self, model: Transformer, packed: Packed, layers: bool = False, keep: bool = True) -> Reading:
        """Read the next tokens of each row's text; with `keep=False` nothing of it stays."""
        state = self._ready(model, len(packed.lengths))
        if self._recording and self._past is None:
            self._past = _Past(state.copied(), packed.real[:, :0])
        reading = read(model, packed, state if keep else state.copied(), layers)
        if keep:
            self.state, self.length = reading.state, self.length + packed.real.shape[1]
        if keep and self._past is not None:
            self._past.updates += reading.updates
            self._past.real = torch.cat([self._past.real, packed.real], dim=1)
        return reading

    def remember(self, model: Transformer, packed: Packed) -> None:
        """Read a document into each row's memory, to its end; the text that follows begins anew."""
        state = self._ready(model, len(packed.lengths))
        if not state.remembers:
            raise Problem("this model has no kNN memory, so it cannot remember a document")
        self.begin()
        for piece in pieces(model, packed, state):
            self.state = piece.state
        self.begin()

    def begin(self) -> None:
        """Begin a new text: the recent past is forgotten, the memory of it stays."""
        self.length, self._past = 0, None
        if self.state is not None:
            self.state.reset(torch.ones(self.state.rows, dtype=torch.bool), memory=False)

    def _ready(self, model: Transformer, rows: int) -> MemoryState:
        """The state with so many rows: a new one, or with rows repeated as `generate` repeats those of a prompt."""
        if self.state is None:
            self.state = model.init_state(rows, self.memory)
        if self.state.rows != rows:
            if self.length or rows % self.state.rows:
                raise Problem(f"a cache of {self.state.rows} rows cannot go on with a batch of {rows}")
            self.batch_repeat_interleave(rows // self.state.rows)
        return self.state

    # What transformers asks of a cache.

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns of the present text, padding included."""
        return self.length

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """None: there is no end to what may be read."""
        return -1

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return self.length + query_length, 0

    @property
    def batch_size(self) -> int:
        return -1 if self.state is None else self.state.rows

    @property
    def is_initialized(self) -> bool:
        return self.state is not None

    @property
    def is_croppable(self) -> bool:
        return self._recording

    @property
    def is_compileable(self) -> bool:
        return False

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        raise Problem("a MnemonCache belongs to a model of mnemon: other models cannot write to it")

    def reset(self) -> None:
        """Forget everything."""
        self.state, self.length, self._past = None, 0, None

    def batch_select_indices(self, indices: Int[Tensor, " b2"]) -> None:
        """Row i becomes what row `indices[i]` was; rows share a memory until one of them writes to it."""
        if self.state is not None:
            self.state.select(indices.cpu())
        self._past = None

    def reorder_cache(self, beam_idx: Int[Tensor, " b2"]) -> None:
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.state is not None:
            self.batch_select_indices(torch.arange(self.state.rows).repeat_interleave(repeats))

    def activate_past_recording(self) -> None:
        """From now on keep what `crop` needs. The kNN memory is copied once for each time that it may be asked."""
        self._recording = True

    def is_recording_past(self, layer_idx: int) -> bool:
        return self._recording

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the newest tokens, `-tokens_to_remove` of them, of those read since the last `crop`."""
        n, past = -tokens_to_remove, self._past
        if n < 0:
            raise Problem(f"crop({tokens_to_remove}): say with a negative number how many tokens to take back")
        self._past = None
        if not n:
            return
        if past is None or n > past.real.shape[1]:
            raise Problem(
                f"crop({tokens_to_remove}): what is forgotten cannot come back; call activate_past_recording() before "
                "the tokens are read, and crop before others follow"
            )
        left = past.real[:, : past.real.shape[1] - n].sum(1).cpu()
        state = past.state
        for update in past.updates:
            lengths = update[0].real().minimum(left)
            left = left - lengths
            # A row that takes back tokens is behind the positions that later pieces were read at, and takes none.
            state.commit([replace(fresh, position=state.position, lengths=lengths) for fresh in update])
        self.state, self.length = state, self.length - n

    def __deepcopy__(self, memo: dict[int, Any]) -> "MnemonCache":
        """A cache of its own of the same model: states are copied, the model's parameters are not."""
        twin = MnemonCache(self.memory)
        twin.length, twin._recording = self.length, self._recording
        twin.state = None if self.state is None else self.state.copied()
        return twin
