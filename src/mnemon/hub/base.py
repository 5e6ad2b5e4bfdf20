from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import can_return_tuple

from mnemon.config import Problem
from mnemon.hub.cache import MnemonCache
from mnemon.hub.config import MnemonConfig
from mnemon.hub.packing import Packed
from mnemon.model import Transformer

ALIGNED = 64  # bytes, as fresh tensors are; those of a file begin wherever it has them


@dataclass
class MnemonOutput(BaseModelOutputWithPast):
    """`penalty`: what training adds to the mean token loss (adaptive spans)."""

    penalty: Tensor | None = None


class MnemonPreTrainedModel(PreTrainedModel):
    """How transformers builds, saves and loads a model of ours."""

    config_class = MnemonConfig
    config: MnemonConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]  # noqa: RUF012 - transformers' own name, type and meaning
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012 - the same

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """The saved model, giving the very bits that it gave: kernels round by where in memory weights begin."""
        loaded = super().from_pretrained(*args, **kwargs)
        model: nn.Module = loaded[0] if isinstance(loaded, tuple) else loaded
        for parameter in model.parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % ALIGNED:
                parameter.data = parameter.data.clone()
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        """Modules of ours start by themselves, so that only a weight that a checkpoint lacks is without a value."""
        for name, parameter in module.named_parameters(recurse=False):
            if not getattr(parameter, "_is_hf_initialized", False):
                raise Problem(f"the weights are of another model: {type(module).__name__}.{name} is missing")

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
        every_n_layers: int = 1,
    ) -> None:
        """By our own recomputation, which keeps what a layer's search found and never searches again."""
        if every_n_layers != 1:
            raise Problem(f"every_n_layers {every_n_layers}: a mnemon model computes all layers again, or none")
        for module in self.modules():
            if isinstance(module, Transformer):
                module.config = module.config.replace(checkpointing=enable)

    @property
    def is_gradient_checkpointing(self) -> bool:
        return any(module.config.checkpointing for module in self.modules() if isinstance(module, Transformer))

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        raise Problem("the vocabulary of a mnemon model is fixed; padding needs no embedding, for it is never read")

    def get_output_embeddings(self) -> None:
        """None: a head of ours is no linear layer that others could tie or resize."""


class MnemonModel(MnemonPreTrainedModel):
    """Tokens to hidden states: our `Transformer` for `AutoModel`.

    Padding, wherever the attention mask shows it, is never read, so that a padded row is the row alone.
    """

    def __init__(self, config: MnemonConfig):
        super().__init__(config)
        self.transformer = Transformer(config.settings)
        for parameter in self.parameters():
            # Started, unless it only holds the place of what a checkpoint brings.
            parameter._is_hf_initialized = not parameter.is_meta  # type: ignore[attr-defined]
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.transformer.embedding

    @torch.no_grad()
    def read(
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Tensor | None = None,
        past_key_values: MnemonCache | None = None,
    ) -> MnemonCache:
        """Read a document into each row's memory: the cache to generate with, `past_key_values` or a new one."""
        cache = MnemonCache() if past_key_values is None else past_key_values
        cache.remember(self.transformer, self._packed(input_ids, attention_mask))
        return cache

    @can_return_tuple
    def forward(
        self,
        input_ids: Int[Tensor, "b t"] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: MnemonCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> MnemonOutput:
        """Read the tokens, and what the cache remembers with them; `use_cache=False` leaves a given cache as it is."""
        if inputs_embeds is not None:
            raise Problem("inputs_embeds: a mnemon model reads tokens; give input_ids")
        if output_attentions or self.config.output_attentions:
            raise Problem("output_attentions: attention over pools is no one matrix; see mnemon inspect")
        if position := [name for name in ("position_ids", "cache_position") if kwargs.get(name) is not None]:
            raise Problem(f"{position[0]}: a mnemon model counts for itself; mark padding in the attention_mask")
        if past_key_values is not None and not isinstance(past_key_values, MnemonCache):
            raise Problem(
                f"past_key_values: a mnemon model reads a MnemonCache, not a {type(past_key_values).__name__}"
            )
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if output_hidden_states is None:
            output_hidden_states = bool(self.config.output_hidden_states)
        if self.training:
            self._check_spans()
        cache = MnemonCache() if past_key_values is None else past_key_values
        keep = use_cache or past_key_values is None
        reading = cache.read(self.transformer, self._packed(input_ids, attention_mask), output_hidden_states, keep)
        return MnemonOutput(
            last_hidden_state=reading.last,
            past_key_values=cache if use_cache else None,
            hidden_states=reading.hidden or None,
            penalty=reading.penalty,
        )

    def _check_spans(self) -> None:
        """That training returns adaptive spans to their range, which no optimiser of others does by itself."""
        spans = [block.attention.span for block in self.transformer.layers]
        if any(span is not None and bool(((span.ratio < 0) | (span.ratio > 1)).any()) for span in spans):
            raise Problem(
                "adaptive spans have left their range: train with Trainer(callbacks=[mnemon.hub.Projection()]), "
                "or call project_() of the transformer after each optimiser step"
            )

    def _packed(self, input_ids: Tensor | None, attention_mask: Tensor | None) -> Packed:
        """The real tokens: those that the mask shows and that are no padding from beyond the vocabulary."""
        if input_ids is None:
            raise Problem("input_ids: missing, and there is nothing else to read")
        real = torch.ones_like(input_ids, dtype=torch.bool)
        if attention_mask is not None:
            if attention_mask.ndim != 2 or attention_mask.shape[1] < input_ids.shape[1]:
                raise Problem(
                    f"attention_mask {list(attention_mask.shape)}: for input_ids {list(input_ids.shape)} it must be "
                    "one number a token, 0 for padding"
                )
            real = attention_mask[:, -input_ids.shape[1] :].to(input_ids.device) != 0
        size, pad = self.config.vocab_size, self.config.pad_token_id
        if pad is not None and pad >= size:
            real = real & (input_ids != pad)
        if bool((strange := real & ((input_ids < 0) | (input_ids >= size))).any()):
            raise Problem(f"token {int(input_ids[strange][0])}: the vocabulary of this model ends at {size - 1}")
        return Packed.of(input_ids, real)
