"""Runs that studies train and evaluate side by side: each is a task for `run_all`."""

from pathlib import Path

from mnemon.config import Problem
from mnemon.data import Corpus, Document, load_corpus, load_tokenizer, make_tokenizer
from mnemon.evaluate import Result, evaluate
from mnemon.studies.workers import Progress
from mnemon.train import RunConfig, load_run, resume, train

DOCUMENTS = 24  # unseen documents evaluated
TOKENS = 12_288  # of each at most
LEAST_CHARACTERS = 40_000  # of a document worth evaluating: the largest memory must fill


def prepare(config: RunConfig, folder: Path, progress: Progress) -> Corpus:
    """The corpus of a study, and its tokenizer in `folder`, which all runs of the study share."""
    progress("reading the corpus", 0, 2, "")
    corpus = load_corpus(config.data.source, config.data)
    progress("training the tokenizer", 1, 2, "")
    make_tokenizer(config.data, corpus.train).save(folder / "tokenizer.json")
    progress("training the tokenizer", 2, 2, "")
    return corpus


def unseen(corpus: Corpus) -> list[Document]:
    """Test documents that are long enough to fill the memory; two at least, for one reads the memory of another."""
    long = [document for document in corpus.test if len(document.text) >= LEAST_CHARACTERS]
    if len(long) < 2:
        raise Problem(
            f"corpus {corpus.name}: {len(long)} test documents of {LEAST_CHARACTERS:,} characters, and at least 2 are "
            "needed; add longer documents"
        )
    return long[:DOCUMENTS]


def of_a_study(base: RunConfig, source: str, steps: int, seed: int) -> RunConfig:
    """A recipe with the corpus, steps and seed of one run; one thread: no figure is to depend on the cores."""
    train = base.train.replace(steps=steps, seed=seed, checkpoint_every=250, threads=1)
    return base.replace(data__source=source, train=train)


def train_run(config: RunConfig, out: Path, progress: Progress) -> None:
    """Train one run, or continue it where an earlier call left it."""

    def note(record: dict[str, float]) -> None:
        said = f"loss {record['loss']:.3f}, {record['tokens_per_second']:,.0f} tokens/s"
        progress(f"training {out.name}", int(record["step"]), config.train.steps, said)

    if (out / "config.json").exists():
        resume(out, on_step=note, steps=config.train.steps)
    else:
        train(config, out, tokenizer=load_tokenizer(out.parent / "tokenizer.json"), on_step=note)


def evaluate_run(folder: Path, size: int, source: str, progress: Progress) -> Result:
    """The losses of one run on the unseen documents, with one memory size and whose memory it is."""
    run = load_run(folder)
    data = run.config.data
    whose = "another document's memory" if source == "other" else "memory"

    def note(done: int, total: int) -> None:
        progress(f"evaluating {folder.name}, {whose} {size}", done, total, "tokens")

    found = evaluate(
        run.model,
        unseen(load_corpus(data.source, data)),
        run.tokenizer,
        (size,),
        rows=DOCUMENTS,
        precision=run.config.train.precision,
        max_tokens=TOKENS,
        memory_source="other" if source == "other" else "own",
        on_progress=note,
    )
    return found.memory[size]
