from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin
from transformers.generation import GenerationMode
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from mnemon.config import Problem
from mnemon.hub.base import MnemonModel, MnemonPreTrainedModel
from mnemon.hub.cache import MnemonCache
from mnemon.hub.config import MnemonConfig
from mnemon.model import Transformer

IGNORED = -100
CACHES = (None, "dynamic", "static")  # what is remembered is bounded as it is: all of these are one


class MnemonForCausalLM(MnemonPreTrainedModel, GenerationMixin):
    """A language model of ours for `AutoModelForCausalLM`: `generate`, `Trainer`, pipelines."""

    def __init__(self, config: MnemonConfig):
        super().__init__(config)
        self.model = MnemonModel(config)
        self.post_init()

    @classmethod
    def of(cls, model: Transformer, **kwargs: Any) -> Self:
        """A model of ours in this form, its parameters themselves; `kwargs`: fields of the configuration."""
        dtype = next(model.parameters()).dtype
        with torch.device("meta"):
            made = cls(MnemonConfig.of(model.config, dtype=dtype, **kwargs))
        made.model.transformer = model
        for parameter in model.parameters():
            parameter._is_hf_initialized = True  # type: ignore[attr-defined]
        return made.train(model.training)

    def read(
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Tensor | None = None,
        past_key_values: MnemonCache | None = None,
    ) -> MnemonCache:
        """Read a document into each row's memory: the cache to generate with, `past_key_values` or a new one."""
        return self.model.read(input_ids, attention_mask, past_key_values)

    @can_return_tuple
    def forward(  # noqa: PLR0913 - what transformers calls it with
        self,
        input_ids: Int[Tensor, "b t"] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: MnemonCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Int[Tensor, "b t"] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Int[Tensor, " n"] = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the columns to keep and, with `labels`, the mean nats of each next token (and spans' penalty)."""
        output = self.model(
            input_ids,
            attention_mask,
            past_key_values,
            inputs_embeds,
            use_cache,
            output_attentions,
            output_hidden_states,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        head: Any = self.model.transformer.head
        hidden = output.last_hidden_state
        logits = head.logits(hidden if labels is not None else hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self._loss(logits, labels, attention_mask, output.penalty, kwargs.get("num_items_in_batch"))
            logits = logits[:, kept]
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=output.past_key_values, hidden_states=output.hidden_states
        )

    def _loss(
        self,
        logits: Float[Tensor, "b t vocabulary"],
        labels: Int[Tensor, "b t"],
        attention_mask: Tensor | None,
        penalty: Float[Tensor, ""],
        items: Tensor | int | None,
    ) -> Float[Tensor, ""]:
        """sum of nll / items + penalty; `items`: predictions of the whole step, of which this batch may be a part."""
        targets = labels[:, 1:].to(logits.device)
        if attention_mask is not None:
            # Nothing was read before a row's first token, so that nothing can predict it.
            begun = attention_mask[:, -labels.shape[1] :].cumsum(1)[:, :-1] > 0
            targets = targets.masked_fill(~begun.to(targets.device), IGNORED)
        count = (targets != IGNORED).sum()
        flat, wanted = logits[:, :-1].flatten(0, 1), targets.flatten()
        total = nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum")
        whole = count if items is None else torch.as_tensor(items, device=logits.device)
        share = count / whole.clamp(min=1)
        loss = total / whole.clamp(min=1)
        return loss + share.to(penalty.dtype) * penalty if self.training else loss

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: GenerationMode,
        batch_size: int,
        max_cache_length: int,
    ) -> bool:
        """Whether there is a cache: the one that `generate` was given, or a new `MnemonCache`."""
        given, kind = model_kwargs.get("past_key_values"), generation_config.cache_implementation
        if kind not in CACHES or (given is not None and kind is not None):
            raise Problem(f"cache_implementation {kind!r}: a mnemon model has a cache of its own; leave it out")
        if given is not None:
            given._is_user_defined = True  # transformers then leaves in it what it returns, and no more
        elif generation_config.use_cache is not False:
            given = model_kwargs["past_key_values"] = MnemonCache()
        if given is not None and generation_config.is_assistant:
            given.activate_past_recording()
        return given is not None
