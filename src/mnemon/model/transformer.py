import math
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mnemon.config import Config, Problem
from mnemon.model.attention import Attention, AttentionConfig
from mnemon.model.block import Block, FeedForwardConfig, Norm, norm
from mnemon.model.call import Call
from mnemon.model.embedding import EmbeddingConfig
from mnemon.model.head import HeadConfig
from mnemon.model.span import AdaptiveSpan
from mnemon.model.state import MemoryState
from mnemon.model.trace import LayerTrace
from mnemon.pools import Fresh, PoolsConfig
from mnemon.positions import Position, PositionConfig
from mnemon.positions.none import NoneConfig
from mnemon.positions.t5 import T5Config


@dataclass(frozen=True)
class Output:
    """`hidden` goes to the head; `penalty` (the span loss, nats) is added to the mean token loss in training."""

    hidden: Float[Tensor, "b t e"]
    penalty: Float[Tensor, ""]
    traces: tuple[LayerTrace, ...] = ()


class ModelConfig(Config):
    """A language model: every kind is a list of pools, never a class.

    `segment`: tokens fed at once and unit of writing to the memory. `window`: previous tokens that every token sees,
    however segments are cut. `shared_position`: one position module for all layers. `start`: distribution of the
    projections, uniform +-1/sqrt(fan-in) or truncated normal of variance 1/fan-in; `zero_out`: output projections
    start at zero. `dropout`: on each sublayer. `final_dropout`: on the embedding and on the last hidden state.
    `checkpointing`: recompute layers in backward to save memory. `faithful`: what is empty is as in the released codes
    of both papers: a cache of zeros before a document begins, whose positions count, and empty slots of the memory as
    entries of key 0 and value 0, so that a gate takes its share from the first token on; training leaves out the last
    prediction of each segment. Ours, without it: what is empty is not seen and changes nothing.
    """

    vocab_size: int = 0
    dim: int = 256
    n_layers: int = 4
    n_heads: int = 4
    head_dim: int = 64
    segment: int = 128
    window: int = 128
    norm: Norm = "rms"
    norm_place: Literal["pre", "post"] = "pre"
    position: PositionConfig = Field(T5Config(), discriminator="kind")
    shared_position: bool = False
    attention: AttentionConfig = AttentionConfig()
    pools: PoolsConfig = PoolsConfig()
    feedforward: FeedForwardConfig | None = None
    embedding: EmbeddingConfig = EmbeddingConfig()
    head: HeadConfig = HeadConfig()
    start: Literal["uniform", "lecun"] = "lecun"
    zero_out: bool = False
    dropout: float = 0.0
    final_dropout: float = 0.0
    checkpointing: bool = False
    faithful: bool = False

    @property
    def sublayer(self) -> FeedForwardConfig | None:
        """The feed-forward layer; persistent vectors in the form ff-attn are one."""
        persistent = self.pools.persistent
        if persistent is None or persistent.form != "ff-attn":
            return self.feedforward
        if self.feedforward is not None:
            raise Problem("ff-attn makes the persistent vectors a feed-forward layer, and the model has one already")
        return FeedForwardConfig(dim=persistent.n, activation="softmax") if persistent.n else None

    def build(self, seed: int = 0) -> "Transformer":
        """The model with its start values drawn from `seed`; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Transformer(self)


class Transformer(nn.Module):
    """tokens -> hidden states, reading what the rows remember and returning what they are to remember next."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.vocab_size < 1:
            raise Problem(f"vocab_size must be set before the model is built, got {config.vocab_size}")
        if config.pools.knn and not set(config.pools.knn.layers) <= set(range(config.n_layers)):
            raise Problem(
                f"kNN memory in layers {config.pools.knn.layers}: the model has layers 0 to {config.n_layers - 1}"
            )
        self.config = config
        self.embedding = config.embedding.build(config.vocab_size, config.dim)
        self.position = self._position() if self.shares_position else None
        self.blocks = nn.ModuleList(self._block(layer) for layer in range(config.n_layers))
        self.norm = norm(config.norm, config.dim) if config.norm_place == "pre" else nn.Identity()
        self.head = config.head.build(self.embedding, config.vocab_size, config.dim)

    def _position(self) -> Position:
        config = self.config
        return config.position.build(config.dim, config.pools.heads(config.n_heads), config.head_dim)

    def _block(self, layer: int) -> Block:
        config = self.config
        shape = (config.dim, config.n_heads, config.head_dim)
        cached = config.pools.cache.kept(config.window) if config.pools.cache else 0
        widths = (config.dim, config.pools.heads(config.n_heads), config.head_dim)
        pools = {
            name: pool.build(*widths, config.segment, config.window, cached, config.faithful)
            for name, pool in config.pools.attended(layer).items()
        }
        position = None if self.shares_position else self._position()
        if config.pools.knn and not config.pools.knn.positions and "knn" in pools:
            position = NoneConfig().build(*widths)
        attention = Attention(*shape, pools, config.window, config.segment, position, config.attention)
        sublayer = config.sublayer
        feedforward = sublayer.build(config.dim) if sublayer else None
        block = Block(attention, feedforward, config.dim, config.norm, config.norm_place == "post", config.dropout)
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear):
                _start(module, config.start, config.zero_out and name.endswith((".out", ".down")))
        if config.attention.equal_start and "knn" in pools:
            attention.equalise()
        return block

    def init_state(self, rows: int, memory: int | None = None) -> MemoryState:
        """What `rows` rows remember before they have read anything; `memory` overrides the kNN capacity (0: none)."""
        pools = [block.attention.named_pools() for block in self.layers]
        return MemoryState(pools, rows, self.config.segment, memory)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        state: MemoryState,
        lengths: Int[Tensor, " b"] | None = None,
        inspect: bool = False,
    ) -> tuple[Output, list[Fresh]]:
        """(output, update): feed at most `state.room()` tokens, then `state.commit(update)` after `backward`.

        With `lengths`, of which tokens each row's first ones are real, each row may be fed up to its own boundary.
        """
        _check_fits(tokens, state, lengths)
        call = Call(lengths=lengths, inspect=inspect)
        x = self._drop(self._placed(self.embedding(tokens), state))
        update: list[Fresh] = []
        traces: list[LayerTrace] = []
        for index, block in enumerate(self.layers):
            arguments = (x, state.layer(index), call, self.position)
            if self.config.checkpointing and torch.is_grad_enabled():
                x, fresh, trace = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x, fresh, trace = block(*arguments)
            update.append(fresh)
            if trace is not None:
                traces.append(replace(trace, layer=index))
        penalty = sum((span.penalty() for span in self._spans()), x.new_zeros(()))
        return Output(self._drop(self.norm(x)), penalty, tuple(traces)), update

    @torch.no_grad()
    def remember(
        self, tokens: Int[Tensor, "b t"], state: MemoryState, lengths: Int[Tensor, " b"] | None = None
    ) -> list[Fresh]:
        """The update of tokens that are only to be remembered: that of `forward`, as far as a kNN memory needs it.

        It ends at the last layer with a memory, which is not searched: what that layer and those above it answer
        decides nothing that is stored. To read on with `forward`, begin a new text: `state.reset(rows, memory=False)`.
        """
        _check_fits(tokens, state, lengths)
        remembering = [index for index, block in enumerate(self.layers) if "knn" in block.attention.pools]
        if not remembering:
            raise ValueError("this model has no kNN memory, so it cannot remember anything")
        call, x = Call(lengths=lengths), self._drop(self._placed(self.embedding(tokens), state))
        update: list[Fresh] = []
        for index, block in enumerate(self.layers[: remembering[-1]]):
            x, fresh, _ = block(x, state.layer(index), call, self.position)
            update.append(fresh)
        return [*update, self.layers[remembering[-1]].written(x, state.layer(remembering[-1]), lengths)]

    def _placed(self, x: Float[Tensor, "b t e"], state: MemoryState) -> Float[Tensor, "b t e"]:
        """Token embeddings with their absolute positions, where the model has such."""
        here = torch.arange(x.shape[1])
        stream, segment = ((start[:, None] + here).to(x.device) for start in (state.position, state.phase))
        added = None if self.position is None else self.position.embed(stream, segment)
        return x if added is None else x + added.to(x.dtype)

    def project_(self) -> None:
        """Bring constrained parameters back into their range; to be called after each optimiser step."""
        for span in self._spans():
            span.project_()

    def gates(self) -> dict[int, Float[Tensor, " h"]]:
        """g = sigmoid(b) of every layer whose memory is gated, by layer."""
        gates = {layer: block.attention.gate for layer, block in enumerate(self.layers)}
        return {layer: gate.detach().sigmoid() for layer, gate in gates.items() if gate is not None}

    @property
    def shares_position(self) -> bool:
        """Whether all layers have one position module; absolute positions enter once and so have one always."""
        return self.config.shared_position or self.config.position.absolute

    @property
    def layers(self) -> list[Block]:
        """The blocks, bottom first."""
        return [cast(Block, block) for block in self.blocks]  # a wrapped one is no Block, but a layer all the same

    def _spans(self) -> list[AdaptiveSpan]:
        spans = [block.attention.span for block in self.layers]
        return [span for span in spans if span is not None]

    def _drop(self, x: Float[Tensor, "b t e"]) -> Float[Tensor, "b t e"]:
        return nn.functional.dropout(x, self.config.final_dropout, self.training)


def _check_fits(tokens: Tensor, state: MemoryState, lengths: Tensor | None) -> None:
    if int((state.phase + (tokens.shape[1] if lengths is None else lengths)).max()) > state.segment:
        raise ValueError(f"{tokens.shape[1]} tokens cross a segment boundary: feed at most {state.room()}")


def _start(linear: nn.Linear, kind: str, zero: bool) -> None:
    """Draw the start values of a projection."""
    bound = 1 / math.sqrt(linear.in_features)
    if zero:
        nn.init.zeros_(linear.weight)
    elif kind == "uniform":
        nn.init.uniform_(linear.weight, -bound, bound)
    else:
        nn.init.trunc_normal_(
            linear.weight, std=bound / 0.87962566, a=-2 * bound / 0.87962566, b=2 * bound / 0.87962566
        )
