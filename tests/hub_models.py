"""Models for the tests of `mnemon.hub`: one of each kind that matters to a cache, small and awake, in float64."""

import torch
from torch import Tensor

from kinds import FAITHFUL_MODELS, MIXED_MODELS, RECIPE_MODELS
from mnemon.hub import MnemonForCausalLM
from mnemon.model import ModelConfig
from models import awake

KINDS: dict[str, ModelConfig] = {
    name: RECIPE_MODELS[name]
    for name in ("vanilla", "transformer-xl", "all-attention", "memorizing", "memorizing-all-attention")
} | {
    "adaptive words": RECIPE_MODELS["all-attention-wikitext103"],
    "joint memory": MIXED_MODELS["hidden cache, persistent, joint knn; t5"],
    "next values": MIXED_MODELS["cache, next values; t5"],
    "faithful": FAITHFUL_MODELS["faithful: cache, knn; t5"],
}
REMEMBERING = {name: kind for name, kind in KINDS.items() if kind.pools.knn}


def causal(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> MnemonForCausalLM:
    return MnemonForCausalLM.of(awake(KINDS[name], dtype, seed))


def forced(model: MnemonForCausalLM, tokens: Tensor) -> Tensor:
    """Logits at every token of a text that our own model reads from the beginning."""
    own = model.model.transformer
    state, found = own.init_state(len(tokens)), []
    with torch.no_grad():
        for piece in tokens.split(own.config.segment, dim=1):
            output, update = own(piece, state)
            state.commit(update)
            found.append(own.head.logits(output.hidden))
    return torch.cat(found, dim=1)
