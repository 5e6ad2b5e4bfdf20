from pathlib import Path

from mnemon.config import Problem, told, write_json
from mnemon.data import Corpus, Lanes, Tokenizer, load_corpus, load_tokenizer, make_tokenizer
from mnemon.index import find_store
from mnemon.model import ModelConfig, Transformer
from mnemon.train.checkpoint import newest
from mnemon.train.config import Parallel, RunConfig, dealt, dealt_rows, patience_of
from mnemon.train.randomness import seeded
from mnemon.train.ranks import Ranks, joined
from mnemon.train.run import (
    ADDED,
    DROPPED,
    pick_device,
    read_config,
    remove_torn,
    take_weights,
    write_config,
    write_weights,
)
from mnemon.train.session import OnStep, Session, described
from mnemon.train.trainer import Trainer


def train(
    config: RunConfig,
    out: Path | str,
    corpus: Corpus | None = None,
    tokenizer: Tokenizer | None = None,
    on_step: OnStep | None = None,
    start_from: Path | str | None = None,
) -> Path:
    """Train a model into the run folder `out`, which must be new or empty; under torchrun together with other ranks.

    `start_from`: a run whose weights, by name, and tokenizer the new one begins with; a gate, span or persistent
    vectors that it lacks keep their start values, and gates of layers that have no memory any more are left behind.
    Memory size, `top_k` and layers may thus be others. Ctrl-C saves a checkpoint after the current step.
    """
    out = Path(out)
    with joined(config.train.parallel, config.train.patience) as ranks:
        with ranks.together():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise Problem(f"{out}: already there; choose another folder, or continue that run with --resume")
            dealt_rows(config.train, ranks.size)  # before anything is read
            _reach(config.model)
            # So does a folder that is no run.
            before = None if start_from is None else read_config(Path(start_from))
            device = pick_device(config.train.device)
            corpus = load_corpus(config.data.source, config.data) if corpus is None else corpus
            tokenizer = _tokenizer(config, corpus, tokenizer, start_from)
            config = _resolved(config, tokenizer)
        ranks.agree("texts", corpus.fingerprint)
        with seeded(config.train.seed, device, config.train.threads, ranks.rank):
            with ranks.together():
                model = config.model.build(config.train.seed)
                if start_from is not None and before is not None:
                    take_weights(model, Path(start_from) / "model.safetensors", ADDED, DROPPED)
                    _begin_memories(model, config.model, before.model)
            session = _session(out, config, model.to(device), corpus, tokenizer, ranks)
            if ranks.first:
                with told(out):
                    out.mkdir(parents=True, exist_ok=True)
                tokenizer.save(out / "tokenizer.json")
                write_json(out / "corpus.json", described(corpus))
            session.begin()
            if ranks.first:
                write_config(out, config)  # last: a folder with a config can be resumed
            session.run(on_step)
    return out


def resume(
    out: Path | str,
    corpus: Corpus | None = None,
    on_step: OnStep | None = None,
    steps: int | None = None,
    parallel: Parallel | None = None,
) -> Path:
    """Continue a run from its newest checkpoint, to the loss values it would have had without the interruption.

    `steps`: train to this step instead of the one in its config. `parallel`: hold the weights in this way. The ranks
    may be more or fewer than before.
    """
    out = Path(out)
    changes = {"train__steps": steps, "train__parallel": parallel}
    with joined("auto", patience_of(lambda: read_config(out))) as ranks:
        with ranks.together():
            config = read_config(out).replace(**{name: value for name, value in changes.items() if value is not None})
            device = pick_device(config.train.device)
            tokenizer = load_tokenizer(out / "tokenizer.json")
        checkpoint = newest(out / "checkpoints", ranks)
        with ranks.together():
            dealt_rows(config.train, ranks.size)
            _reach(config.model)
            done = checkpoint.values["step"]
            if done > config.train.steps:
                raise Problem(f"{out}: already trained for {done} steps, more than {config.train.steps}")
            corpus = load_corpus(config.data.source, config.data) if corpus is None else corpus
        ranks.agree("texts", corpus.fingerprint)
        with seeded(config.train.seed, device, config.train.threads, ranks.rank):
            model = config.model.build(config.train.seed).to(device)
            session = _session(out, config, model, corpus, tokenizer, ranks)
            with ranks.together():
                session.load(checkpoint)
            if ranks.first:
                remove_torn(out)
                write_config(out, config)
            session.run(on_step)
    return out


def _tokenizer(
    config: RunConfig, corpus: Corpus, tokenizer: Tokenizer | None, start_from: Path | str | None
) -> Tokenizer:
    """The one given, that of the run begun from, or a new one; the first two must not differ."""
    if start_from is None:
        return make_tokenizer(config.data, corpus.train) if tokenizer is None else tokenizer
    taken = load_tokenizer(Path(start_from) / "tokenizer.json")
    if tokenizer is not None and tokenizer.values() != taken.values():
        raise Problem(f"{start_from}: its weights belong to another tokenizer; leave the tokenizer out")
    return taken


def _begin_memories(model: Transformer, config: ModelConfig, before: ModelConfig) -> None:
    """Layers that the run begun from had no memory in start with equal projections, where the config asks for that."""
    had, have = (set() if each.pools.knn is None else set(each.pools.knn.layers) for each in (before, config))
    for layer in sorted(have - had) if config.attention.equal_start else ():
        model.layers[layer].attention.equalise()


def _reach(config: ModelConfig) -> None:
    """A `Problem` where the memory would lie in something that is away."""
    if (knn := config.pools.knn) is not None and knn.size:
        find_store(knn.index).reach(config.head_dim)


def _resolved(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    """The config with vocabulary, segment and lanes filled in."""
    vocabulary = config.model.vocab_size or tokenizer.vocab_size
    if vocabulary < tokenizer.vocab_size:
        raise Problem(
            f"model.vocab_size {vocabulary}: the tokenizer has {tokenizer.vocab_size}; 0 takes the tokenizer's"
        )
    train = dealt(config.train, config.model.segment)
    return config.replace(model__vocab_size=vocabulary, model__segment=train.segment, train=train)


def _session(
    out: Path, config: RunConfig, model: Transformer, corpus: Corpus, tokenizer: Tokenizer, ranks: Ranks
) -> Session:
    train = config.train
    segment, cache = config.model.segment, {}  # type: ignore[var-annotated]
    lanes = Lanes(corpus.train, tokenizer, train.lanes, segment, train.seed, part=train.part)

    def valid() -> Lanes:
        return Lanes(corpus.valid, tokenizer, train.lanes, segment, 0, shuffle=False, epochs=1, cache=cache)

    if train.valid_every and not corpus.valid:
        raise Problem(f"valid_every {train.valid_every}: {corpus.name} has no unseen documents to look at")
    return Session(
        out,
        Trainer(model, train, ranks),
        lanes,
        corpus,
        lambda weights: write_weights(out, weights),
        config.model.faithful,
        valid if train.valid_every else None,
    )
