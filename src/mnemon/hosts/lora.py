import importlib
from typing import Any, Literal

from pydantic import Field
from transformers import PreTrainedModel

from mnemon.config import Config, Problem

MARK = "lora_"  # in the names of what an adapter adds


class LoraConfig(Config):
    """Low-rank adapters of PEFT (LoRA, arXiv 2106.09685): W + alpha / rank * B A, with B = 0 at the start."""

    rank: int = Field(8, ge=1, description="rank of what is added to a matrix")
    alpha: float = Field(16.0, gt=0, description="what is added is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="on what the adapters are given")
    modules: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear", description="which matrices: all but the head's, or names such as q_proj"
    )


def add_lora(model: PreTrainedModel, config: LoraConfig) -> None:
    """Give a host adapters by PEFT, which alone learn."""
    peft = _peft()
    modules = config.modules if config.modules == "all-linear" else list(config.modules)
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )
    try:
        model.add_adapter(settings)
    except ValueError as error:
        raise Problem(f"lora.modules {config.modules}: PEFT refuses them ({str(error).splitlines()[0]})") from None


def _peft() -> Any:
    """The package, which is not everywhere."""
    try:
        return importlib.import_module("peft")
    except ImportError:
        raise Problem("low-rank adapters need peft: pip install 'mnemon[peft]'") from None
