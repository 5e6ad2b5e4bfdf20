"""Fine-tuning a host, a model of others, to use the memory that is attached to it."""

from pathlib import Path

from pydantic import Field

from mnemon.config import Config, Problem, read_json, told, write_json
from mnemon.data import Corpus, DataConfig, Lanes, load_corpus
from mnemon.hosts import (
    HostModel,
    Learns,
    LoraConfig,
    Memory,
    MemoryConfig,
    add_persistent,
    let_learn,
    load_host,
    save_host,
    start_equal,
    weights_digest,
)
from mnemon.hosts.tokens import plain_tokenizer
from mnemon.train.checkpoint import newest
from mnemon.train.config import Parallel, TrainConfig, dealt, dealt_rows, patience_of
from mnemon.train.randomness import part_ways, seeded
from mnemon.train.ranks import Ranks, joined
from mnemon.train.run import pick_device
from mnemon.train.session import OnStep, Session, described
from mnemon.train.trainer import Trainer

# What brings most in `docs/results/attach.md`, without training already.
LEARN = MemoryConfig(merge="gated", gate=0.3, asks="key", sharpness=4.0, value="next", positions="none")
CONFIG, FORMAT, VERSION = "finetune.json", "mnemon-finetune", 1


class FinetuneConfig(Config):
    """What of a host learns to use its memory, and on which documents.

    `host`: a folder of transformers, or a name of its hub. `learns`: see `let_learn`; `lora` is for adapters alone.
    `negatives`: see `LaneMemory`. `persistent` vectors in each layer with a memory: see `add_persistent`.
    `equal_start`: queries of these layers start as their keys, so many times as sharp, see `start_equal`. `remember`:
    off, the host learns without its memory, which is a control.
    """

    host: str
    learns: Learns = "queries"
    negatives: int = Field(0, ge=0)
    persistent: int = Field(0, ge=0)
    equal_start: float | None = Field(None, gt=0)
    remember: bool = True
    checkpointing: bool = False
    download: bool = False
    lora: LoraConfig = LoraConfig()
    memory: MemoryConfig = LEARN
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(steps=500, warmup=20, schedule="linear", precision="bfloat16")


RATES: dict[Learns, float] = {"gates": 5e-2, "queries": 1e-3, "lora": 1e-3, "all": 5e-4}  # highest learning rates


def tuning(host: str, learns: Learns) -> FinetuneConfig:
    """The usual way to fine-tune: few numbers learn fast, many slowly."""
    config = FinetuneConfig(host=host, learns=learns)
    return config.replace(train__lr=RATES[learns])


def finetune(
    config: FinetuneConfig, out: Path | str, corpus: Corpus | None = None, on_step: OnStep | None = None
) -> Path:
    """Fine-tune a host with its memory live, into the folder `out`, which must be new or empty; under torchrun together
    with other ranks.

    Documents are read as `HostModel` reads them. In the end `out` is a folder that `load_host` loads, and
    `from_pretrained` without the memory. Ctrl-C saves a checkpoint after the current step.
    """
    out, train = Path(out), config.train
    with joined(train.parallel, train.patience) as ranks:
        with ranks.together():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise Problem(f"{out}: already there; choose another folder, or continue with --resume")
            _looks(train)
            dealt_rows(train, ranks.size)  # before anything is read
            device = pick_device(train.device)
        with seeded(train.seed, device, train.threads):
            with ranks.together():
                memory = _host(config)
                digest = weights_digest(memory.model)
            session = _session(config, memory, out, corpus, ranks)
            ranks.agree(f"weights in {config.host}", digest)
            if ranks.first:
                with told(out):
                    out.mkdir(parents=True, exist_ok=True)
                write_json(out / "corpus.json", described(session.corpus))
            session.begin()
            if ranks.first:
                _write(out, config, digest)  # last: a folder with a config can be resumed
            session.run(on_step)
            _save(memory, session)
    return out


def resume_finetune(
    out: Path | str,
    corpus: Corpus | None = None,
    on_step: OnStep | None = None,
    steps: int | None = None,
    parallel: Parallel | None = None,
) -> Path:
    """Continue a fine-tuning from its newest checkpoint, to the losses that it would have had without interruption.

    `steps`: to this step instead of the one in its config. `parallel`: hold the weights in this way. The ranks may be
    more or fewer than before.
    """
    out = Path(out)
    changes = {"train__steps": steps, "train__parallel": parallel}
    with joined("auto", patience_of(lambda: read_finetune(out)[0])) as ranks:
        with ranks.together():
            config, digest = read_finetune(out)
            config = config.replace(**{name: value for name, value in changes.items() if value is not None})
            device = pick_device(config.train.device)
        checkpoint = newest(out / "checkpoints", ranks)
        with ranks.together():
            dealt_rows(config.train, ranks.size)
            done = checkpoint.values["step"]
            if done > config.train.steps:
                raise Problem(f"{out}: already trained for {done} steps, more than {config.train.steps}")
        with seeded(config.train.seed, device, config.train.threads):
            with ranks.together():
                memory = _host(config)
                if weights_digest(memory.model) != digest:
                    raise Problem(f"{config.host}: other weights than when {out} was begun; restore them to continue")
            session = _session(config, memory, out, corpus, ranks)
            with ranks.together():
                session.load(checkpoint)
            if ranks.first:
                _write(out, config, digest)
            session.run(on_step)
            _save(memory, session)
    return out


def read_finetune(out: Path) -> tuple[FinetuneConfig, str]:
    """The config of a fine-tuning, and the digest of the weights that it began with."""
    file = out / CONFIG
    if not file.is_file():
        raise Problem(f"{out}: no fine-tuning to continue (it has no {CONFIG})")
    values = read_json(file)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT or values.pop("version", None) != VERSION:
        raise Problem(f"{file}: not the config of a fine-tuning that this mnemon reads")
    digest = values.pop("digest", "")
    return FinetuneConfig.parse(values, str(file)), digest


def _write(out: Path, config: FinetuneConfig, digest: str) -> None:
    write_json(out / CONFIG, {"format": FORMAT, "version": VERSION, "digest": digest, **config.model_dump(mode="json")})


def _host(config: FinetuneConfig) -> Memory:
    """The host with its memory attached, in float32: what learns does so in small steps."""
    memory = load_host(config.host, config.download, **dict(config.memory))
    memory.model.float().to(pick_device(config.train.device))
    if config.persistent:
        add_persistent(memory, config.persistent)
    return memory


def _looks(train: TrainConfig) -> None:
    """Refuse looks at a training that are not taken at a host's."""
    for name in ("drift_every", "reencode_every", "valid_every"):
        every = getattr(train, name)
        if every is not None:
            raise Problem(f"train.{name} {every}: only mnemon train looks at that; leave it out")


def _learner(config: FinetuneConfig, memory: Memory) -> HostModel:
    """The host as it reads documents, with what it learns."""
    if config.equal_start is not None:
        if config.learns not in ("queries", "all"):
            raise Problem(
                f"equal_start changes query projections, which {config.learns} leaves: let queries or all learn"
            )
        start_equal(memory, config.equal_start)
    let_learn(memory, config.learns, config.lora)
    if config.checkpointing:
        memory.model.activation_checkpointing_enable()
    return HostModel(memory, config.negatives, None if config.remember else 0)


def _session(config: FinetuneConfig, memory: Memory, out: Path, corpus: Corpus | None, ranks: Ranks) -> Session:
    with ranks.together():
        model = _learner(config, memory)
        train = dealt(config.train, model.segment)
        if train.segment != model.segment:
            raise Problem(
                f"train.segment {train.segment}: a segment is memory.segment less memory.overlap and special tokens, "
                f"{model.segment}; leave it out"
            )
        rows = dealt_rows(train, ranks.size)
        if config.negatives >= rows:
            raise Problem(
                f"negatives {config.negatives}: a lane finds entries of the lanes beside it, in its micro-batch and on "
                f"its rank, and these are {rows - 1}; take more lanes or fewer negatives"
            )
        corpus = load_corpus(config.data.source, config.data) if corpus is None else corpus
    ranks.agree("texts", corpus.fingerprint)
    assert memory.tokenizer is not None
    tokenizer = plain_tokenizer(memory.tokenizer)
    lanes = Lanes(corpus.train, tokenizer, train.lanes, model.segment, train.seed, part=train.part)
    part_ways(train.seed, ranks.rank)  # adapters and vectors began alike, dropout does not go on so
    return Session(out, Trainer(model, train, ranks), lanes, corpus, lambda weights: None)


def _save(memory: Memory, session: Session) -> None:
    """Write what was learnt for whoever loads a host."""
    session.trainer.engine.gather()
    with session.ranks.together():
        if session.ranks.first:
            with told(session.out):
                save_host(memory, session.out)
