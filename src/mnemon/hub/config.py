from typing import Any

from transformers import PreTrainedConfig

from mnemon.config import Problem
from mnemon.model import ModelConfig


class MnemonConfig(PreTrainedConfig):
    """Our `ModelConfig` as transformers keeps configurations: `model` holds its values, checked where they come in.

    `MnemonConfig(model={...})` or `MnemonConfig.of(ModelConfig(...))`. A `pad_token_id` may lie beyond the vocabulary:
    padding is never read.
    """

    model_type = "mnemon"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 - transformers adds it to a list

    model: dict[str, Any] | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = False  # a head that is tied reads the embedding's table itself: nothing to tie here
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if misplaced := sorted(kwargs.keys() & ModelConfig.model_fields.keys()):
            name = misplaced[0]
            raise Problem(f"MnemonConfig: {name} is a value of the model; say model={{{name!r}: ...}}")
        self.model = ModelConfig.parse(self.model or {}, "model").model_dump(mode="json")
        super().__post_init__(**kwargs)
        self.validate()

    def validate(self) -> None:
        """Ids stand in the vocabulary; only that of padding, which is never read, may lie beyond it."""
        for name in ("bos_token_id", "eos_token_id"):
            given, size = getattr(self, name), self.vocab_size
            if given is not None and size and not 0 <= given < size:
                raise Problem(f"{name} {given}: the vocabulary of this model ends at {size - 1}")

    @classmethod
    def of(cls, model: ModelConfig, **kwargs: Any) -> "MnemonConfig":
        """The configuration of a model of ours; `kwargs`: fields of transformers' configurations."""
        return cls(model=model.model_dump(mode="json"), **kwargs)

    @property
    def settings(self) -> ModelConfig:
        """The values in `model` as the configuration they are."""
        return ModelConfig.parse(self.model or {}, "model")

    # The names by which transformers asks for sizes.

    @property
    def vocab_size(self) -> int:
        return self.settings.vocab_size

    @property
    def hidden_size(self) -> int:
        return self.settings.dim

    @property
    def num_hidden_layers(self) -> int:
        return self.settings.n_layers

    @property
    def num_attention_heads(self) -> int:
        return self.settings.n_heads

    @property
    def head_dim(self) -> int:
        return self.settings.head_dim
