from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from mnemon.hub.base import MnemonModel
from mnemon.hub.causal import MnemonForCausalLM
from mnemon.hub.config import MnemonConfig


def register() -> None:
    """Let transformers' Auto classes know our models; importing `mnemon.hub` does it."""
    AutoConfig.register(MnemonConfig.model_type, MnemonConfig, exist_ok=True)
    AutoModel.register(MnemonConfig, MnemonModel, exist_ok=True)
    AutoModelForCausalLM.register(MnemonConfig, MnemonForCausalLM, exist_ok=True)
