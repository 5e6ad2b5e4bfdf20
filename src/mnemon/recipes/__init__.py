from collections.abc import Callable

from mnemon.config import Problem, nearest
from mnemon.recipes import adaptive_span, memorizing_sizes, papers, tiny, transformer_xl_dai
from mnemon.recipes.count import Parameters, count_parameters
from mnemon.train import RunConfig

RECIPES: dict[str, Callable[[], RunConfig]] = {
    "vanilla": papers.vanilla,
    "transformer-xl": papers.transformer_xl,
    "all-attention": papers.all_attention,
    "memorizing": papers.memorizing,
    "memorizing-all-attention": papers.memorizing_all_attention,
    "vanilla-tiny": tiny.vanilla_tiny,
    "transformer-xl-tiny": tiny.transformer_xl_tiny,
    "all-attention-tiny": tiny.all_attention_tiny,
    "memorizing-tiny": tiny.memorizing_tiny,
    "adaptive-span-tiny": adaptive_span.adaptive_span_tiny,
    "memorizing-all-attention-tiny": tiny.memorizing_all_attention_tiny,
    "all-attention-enwik8-small": papers.all_attention_enwik8_small,
    "all-attention-enwik8-large": papers.all_attention_enwik8_large,
    "all-attention-text8-small": papers.all_attention_text8_small,
    "all-attention-text8-large": papers.all_attention_text8_large,
    "all-attention-wikitext103": papers.all_attention_wikitext103,
    "memorizing-200m": papers.memorizing_200m,
    **memorizing_sizes.SIZES,
    "adaptive-span-enwik8-small": adaptive_span.adaptive_span_enwik8_small,
    "adaptive-span-enwik8-large": adaptive_span.adaptive_span_enwik8_large,
    "adaptive-span-text8-small": adaptive_span.adaptive_span_text8_small,
    "adaptive-span-text8-large": adaptive_span.adaptive_span_text8_large,
    "transformer-xl-dai": transformer_xl_dai.transformer_xl_dai,
    "transformer-xl-dai-enwik8-large": transformer_xl_dai.transformer_xl_dai_enwik8_large,
    "transformer-xl-dai-text8-large": transformer_xl_dai.transformer_xl_dai_text8_large,
    "transformer-xl-dai-wikitext103-base": transformer_xl_dai.transformer_xl_dai_wikitext103_base,
    "transformer-xl-dai-wikitext103-large": transformer_xl_dai.transformer_xl_dai_wikitext103_large,
}


def recipe(name: str) -> RunConfig:
    """The complete config of a recipe; a `Problem` that names the nearest one if there is none of that name."""
    if name not in RECIPES:
        raise Problem(f"recipe {name!r}: no such recipe{nearest(name, list(RECIPES))}")
    return RECIPES[name]()


__all__ = ["RECIPES", "Parameters", "count_parameters", "recipe"]
