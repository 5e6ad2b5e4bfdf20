"""The tables of all-attention networks (arXiv 1907.01470): rows, published figures and claims."""

from mnemon.model import EmbeddingConfig, FeedForwardConfig, HeadConfig
from mnemon.pools import PersistentConfig
from mnemon.recipes import recipe
from mnemon.studies.grid import Claim, Grid, Row, Scale
from mnemon.train import RunConfig

STANDS_FOR = {"enwik8-head": "enwik8", "text8-head": "text8"}
STEPS = 2000  # of the tiny models: 2.05M bytes
NOTES = (
    "Tiny scale: 4 layers of width 128, 2 heads, spans up to 256, segments of 64 bytes, 2.05M training bytes; "
    "the paper's small models have 18 or 12 layers of width 512 and 39M parameters.",
    "enwik8-head and text8-head are the beginnings of enwik8 and text8: their figures are not to be set beside "
    "published ones, their differences may be.",
)


def all_attention(scale: Scale, n: int | None = None) -> RunConfig:
    """All-attention with `n` persistent vectors a head (None: the recipe's), on bytes or characters."""
    if scale == "tiny":
        config = recipe("all-attention-tiny").replace(
            train__steps=STEPS, data__tokenizer="bytes", data__vocab_size=None
        )
    else:
        config = recipe("all-attention").replace(model__vocab_size=0)
    if n is None:
        return config
    return config.replace(model__pools__persistent=PersistentConfig(n=n) if n else None)


def feed_forward(scale: Scale) -> RunConfig:
    """The same model with feed-forward layers of equal parameters instead of persistent vectors."""
    config = all_attention(scale)
    if scale == "paper":  # 12 layers with a feed-forward layer of 2048 instead of 18 with 1024 vectors
        config = config.replace(model__n_layers=12)
    width = 4 * config.model.dim
    return config.replace(model__pools__persistent=None, model__feedforward=FeedForwardConfig(dim=width))


ALL, FF = "all-attention", "feed-forward (adaptive span)"
MUON = ", Muon"


def _bpc(scale: Scale) -> list[Row]:
    figures = {"enwik8": 1.02, "text8": 1.11}, {"enwik8": 1.01, "text8": 1.11}
    pair = feed_forward(scale), all_attention(scale)
    rows = [
        Row(FF, pair[0], published=figures[0], claimed=scale == "paper"),
        Row(ALL, pair[1], against=FF, published=figures[1], claimed=scale == "paper"),
    ]
    if scale == "tiny":  # a few thousand steps are too few for the papers' optimisers
        quick = [each.replace(train__optimizer="muon", train__lr=3e-3) for each in pair]
        rows.append(Row(FF + MUON, quick[0], claimed=True))
        rows.append(Row(ALL + MUON, quick[1], against=FF + MUON, claimed=True))
    return rows


A_BPC = Grid(
    "All-attention against feed-forward layers",
    "Do persistent vectors replace the feed-forward layers at equal parameters? (arXiv 1907.01470: enwik8 and text8)",
    "bits_per_byte",
    _bpc,
    (
        Claim("All-attention has the lower loss.", ALL, FF),
        Claim("With Muon, all-attention has the lower loss.", ALL + MUON, FF + MUON),
    ),
    STANDS_FOR,
    (
        *NOTES,
        "AdamW at 1e-3 where nothing else is said; Muon for the projections with AdamW at 3e-3 for the rest. So few "
        "steps favour what learns fast: persistent vectors start as an even mean and have to break up first.",
    ),
)


def _vectors(scale: Scale) -> list[Row]:
    counts = (0, 32, 128, 512, 2048) if scale == "tiny" else (0, 128, 512, 1024, 2048, 4096)
    rows = [Row("N = 0", all_attention(scale, 0))]
    return rows + [Row(f"N = {n}", all_attention(scale, n), against="N = 0") for n in counts[1:]]


A_N = Grid(
    "How many persistent vectors",
    "How does the loss fall with the number N of persistent vectors a head? (Ablation of arXiv 1907.01470, whose "
    "values were never printed: N = 0 is clearly worst, more vectors help)",
    "bits_per_byte",
    _vectors,
    (
        Claim("128 vectors are better than none.", "N = 128", "N = 0"),
        Claim("512 vectors are better than 128.", "N = 512", "N = 128"),
    ),
    STANDS_FOR,
    NOTES,
)


FORMS = ("all-attn", "attn-split", "single-head", "head-split", "ff-attn")


def _forms(scale: Scale) -> list[Row]:
    base = all_attention(scale)
    rows = [Row("all-attn", base)]
    for form in FORMS[1:]:
        config = base.replace(model__pools__persistent__form=form)
        rows.append(Row(form, config, against="all-attn"))
    return rows


A_FORMS = Grid(
    "Five ways to use the same parameters",
    "Does it matter that persistent vectors share heads and softmax with the context? (Ablation of arXiv 1907.01470, "
    "whose values were never printed: all-attn is best, attn-split before single-head, head-split and ff-attn behind "
    "all-attn)",
    "bits_per_byte",
    _forms,
    (
        *(Claim(f"all-attn is better than {form}.", "all-attn", form) for form in FORMS[1:]),
        Claim("attn-split is better than single-head.", "attn-split", "single-head"),
    ),
    STANDS_FOR,
    NOTES,
)


def _words(scale: Scale) -> list[Row]:
    if scale == "tiny":
        cut = {"cutoffs": (1000, 4000)}
        model = {"model__embedding": EmbeddingConfig(kind="adaptive", **cut), "model__head": HeadConfig(tied=True)}
        change = {"data__tokenizer": "words", "data__vocab_size": 16_000, "model__vocab_size": 0, **model}
        pair = feed_forward(scale).replace(**change), all_attention(scale).replace(**change)
    else:
        whole = recipe("all-attention-wikitext103").replace(model__vocab_size=0)
        half = whole.replace(model__n_layers=24, model__pools__persistent=None)
        pair = half.replace(model__feedforward=FeedForwardConfig(dim=2048)), whole
    return [
        Row(FF, pair[0], published={"WikiText-103": 24.0}, claimed=True),
        Row(ALL, pair[1], against=FF, published={"WikiText-103": 20.6}, claimed=True),
    ]


A_WORDS = Grid(
    "Words",
    "The same comparison on words, with adaptive input and softmax. (arXiv 1907.01470: 20.6 against 24.0 of "
    "Transformer-XL standard, 151M)",
    "perplexity",
    _words,
    (Claim("All-attention has the lower loss.", ALL, FF),),
    {},
    NOTES,
)
