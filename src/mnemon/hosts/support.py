import sys
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel

from mnemon.config import Problem

Rotation = Literal["none", "halves", "pairs", "mirrored"]
SLIDING = ("sliding_attention", "chunked_attention")


@dataclass(frozen=True)
class Family:
    """What one family of models does in its own way.

    `rotation`: which channels of queries and keys turn together: i and i + r/2 of the r that turn ("halves"; "mirrored"
    turns the other way), or 2i and 2i + 1 ("pairs"). `angles`: how the model file lays out one angle a pair: the list
    twice over ("halves"), each angle twice ("pairs"), or "once". `by_type`: the rotary module answers for one type of
    layer. `turned`: which layers rotate: all, those whose `use_rope` says so, or those with a sliding window.
    `places`: the embedding that absolute positions come from, whose first `offset` rows are no places.
    """

    title: str
    rotation: Rotation = "halves"
    angles: Literal["halves", "pairs", "once"] = "halves"
    by_type: bool = False
    turned: Literal["all", "use_rope", "sliding", "sliding where mixed"] = "all"
    places: str | None = None
    offset: int = 0

    def turns(self, attention: nn.Module) -> bool:
        """Whether this layer rotates its queries and keys."""
        layer: Any = attention
        match self.turned:
            case "all":
                return self.rotation != "none"
            case "use_rope":
                return bool(layer.use_rope)
            case "sliding":
                return window(attention) is not None
            case "sliding where mixed":
                return layer.config.sliding_window is None or window(attention) is not None

    def layer_type(self, attention: nn.Module) -> str:
        """The name that the host's configuration gives to this kind of layer."""
        layer: Any = attention
        return str(layer.config.layer_types[layer.layer_idx])


FAMILIES: dict[str, Family] = {
    "afmoe": Family("AFMoE", turned="sliding"),
    "apertus": Family("Apertus"),
    "arcee": Family("Arcee"),
    "aria_text": Family("Aria, text"),
    "biogpt": Family("BioGPT", rotation="none", places="embed_positions", offset=2),
    "bitnet": Family("BitNet"),
    "cohere": Family("Cohere", rotation="pairs", angles="pairs"),
    "cohere2": Family("Cohere 2", rotation="pairs", angles="pairs", turned="sliding"),
    "cwm": Family("CWM"),
    "dots1": Family("dots.llm1"),
    "ernie4_5": Family("Ernie 4.5", rotation="pairs"),
    "ernie4_5_moe": Family("Ernie 4.5 MoE", rotation="pairs"),
    "exaone4": Family("EXAONE 4", turned="sliding where mixed"),
    "exaone_moe": Family("EXAONE MoE", turned="sliding where mixed"),
    "flex_olmo": Family("FlexOlmo"),
    "gemma": Family("Gemma"),
    "gemma2": Family("Gemma 2"),
    "gemma3": Family("Gemma 3, text and images", by_type=True),
    "gemma3_text": Family("Gemma 3, text", by_type=True),
    "glm": Family("GLM", rotation="pairs"),
    "glm4": Family("GLM 4", rotation="pairs"),
    "glm4_moe": Family("GLM 4 MoE"),
    "gpt2": Family("GPT-2", rotation="none", places="wpe"),
    "gpt_bigcode": Family("GPT-BigCode", rotation="none", places="wpe"),
    "gpt_neox": Family("GPT-NeoX"),
    "gpt_oss": Family("gpt-oss", angles="once"),
    "granite": Family("Granite"),
    "granite_swa": Family("Granite, sliding window"),
    "granitemoe": Family("Granite MoE"),
    "granitemoe_swa": Family("Granite MoE, sliding window"),
    "granitemoehybrid": Family("Granite 4, hybrid"),
    "granitemoeshared": Family("Granite MoE, shared experts"),
    "helium": Family("Helium", rotation="pairs"),
    "hy_v3": Family("Hy 3"),
    "hyperclovax": Family("HyperCLOVA X"),
    "jais2": Family("Jais 2"),
    "jetmoe": Family("JetMoE"),
    "kolibri1": Family("Kolibri 1", turned="sliding where mixed"),
    "laguna": Family("Laguna", by_type=True),
    "lfm2": Family("LFM2, hybrid"),
    "llama": Family("Llama"),
    "mellum": Family("Mellum", by_type=True),
    "minimax_m2": Family("MiniMax M2"),
    "ministral": Family("Ministral"),
    "ministral3": Family("Ministral 3"),
    "mistral": Family("Mistral"),
    "mixtral": Family("Mixtral"),
    "modernbert-decoder": Family("ModernBERT, decoder", by_type=True),
    "nanochat": Family("nanochat", rotation="mirrored"),
    "nemotron": Family("Nemotron"),
    "olmo": Family("OLMo"),
    "olmo2": Family("OLMo 2"),
    "olmo3": Family("OLMo 3", by_type=True),
    "olmo_hybrid": Family("OLMo, hybrid"),
    "olmoe": Family("OLMoE"),
    "opt": Family("OPT", rotation="none", places="embed_positions", offset=2),
    "persimmon": Family("Persimmon"),
    "phi": Family("Phi"),
    "phi3": Family("Phi-3"),
    "phimoe": Family("Phi-3.5 MoE"),
    "qwen2": Family("Qwen2"),
    "qwen2_moe": Family("Qwen2 MoE"),
    "qwen3": Family("Qwen3"),
    "qwen3_5_text": Family("Qwen3.5, text, hybrid"),
    "qwen3_moe": Family("Qwen3 MoE"),
    "qwen3_next": Family("Qwen3-Next, hybrid"),
    "seed_oss": Family("Seed-OSS"),
    "smollm3": Family("SmolLM3", turned="use_rope"),
    "solar_open": Family("Solar Open"),
    "stablelm": Family("StableLM"),
    "starcoder2": Family("StarCoder2"),
    "vaultgemma": Family("VaultGemma"),
}

# Types that do use the attention registry, and what keeps a memory from being exact in them.
REFUSED: dict[str, str] = {
    "diffllama": "each layer calls attention twice, for the difference of two maps",
    "hrm_text": "each layer runs several times a token",
    "hunyuan_v1_dense": "keys are scaled channel by channel after they are rotated, so their position cannot be undone",
    "hunyuan_v1_moe": "keys are scaled channel by channel after they are rotated, so their position cannot be undone",
}

REFUSED_SETTINGS: dict[str, str] = {
    "add_cross_attention": "it attends to an encoder too",
    "is_encoder_decoder": "only decoders are supported",
    "reorder_and_upcast_attn": "its layers then attend without transformers' attention registry",
    "use_bidirectional_attention": "its queries see keys of the future",
}


def family(model: PreTrainedModel) -> Family:
    """The row of a model's type; a `Problem` that says what is missing where there is none."""
    kind = model.config.model_type
    if kind not in FAMILIES:
        raise Problem(f"a model of type {kind!r} cannot be given a memory: {_missing(model)}")
    for setting, why in REFUSED_SETTINGS.items():
        if getattr(model.config, setting, False):
            raise Problem(f"this {kind!r} model cannot be given a memory: its configuration sets {setting}: {why}")
    return FAMILIES[kind]


def attentions(model: nn.Module) -> dict[int, nn.Module]:
    """The self-attention of each decoder layer, by the layer's number."""
    found: dict[int, nn.Module] = {}
    for module in model.modules():
        number = getattr(module, "layer_idx", None)
        if isinstance(number, int) and hasattr(module, "is_causal"):
            found[number] = module
    return dict(sorted(found.items()))


def layers(model: nn.Module) -> nn.ModuleList:
    """The decoder's layers, those without attention too."""
    inside = set(attentions(model).values())
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return next(each for each in lists if inside & set(each.modules()))  # outermost first


def window(attention: nn.Module) -> int | None:
    """How many tokens a layer with a sliding window sees; None for one that sees everything."""
    layer: Any = attention
    types = getattr(layer.config, "layer_types", None)
    if types is not None and types[layer.layer_idx] not in SLIDING:
        return None
    return getattr(layer.config, "sliding_window", None)


def _missing(model: PreTrainedModel) -> str:
    """Why a type without a row has none."""
    kind = model.config.model_type
    if kind in REFUSED:
        return REFUSED[kind]
    if model.config.is_encoder_decoder:
        return "it has an encoder, and only decoders are supported"
    if not hasattr(sys.modules[type(model).__module__], "ALL_ATTENTION_FUNCTIONS"):
        return "its attention never asks transformers' attention registry, which a memory is attached by"
    if getattr(model.config, "kv_lora_rank", None) is not None:
        return "its keys and values differ in width (multi-head latent attention), and entries have one"
    return "nobody has checked it; a checked type has a row in mnemon/hosts/support.py"
