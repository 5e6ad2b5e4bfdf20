from collections.abc import Sequence
from pathlib import Path

from mnemon.data import load_corpus
from mnemon.evaluate import evaluate
from mnemon.model import widened
from mnemon.studies.runs import unseen
from mnemon.studies.workers import Progress
from mnemon.train import load_run

DOCUMENTS, TOKENS, MEMORY = 2, 1536, 512


def perplexities(run: Path, stores: Sequence[str], progress: Progress = lambda *_: None) -> dict[str, float]:
    """What `mnemon eval` says of a run's model on the beginnings of unseen documents, its memory in each store."""
    trained, found = load_run(run), {}
    documents = unseen(load_corpus(trained.config.data.source, trained.config.data))[:DOCUMENTS]
    for done, store in enumerate(stores):
        progress("evaluating", done, len(stores), store)
        model = widened(trained.model, store=store)
        result = evaluate(model, documents, trained.tokenizer, (MEMORY,), DOCUMENTS, "float32", TOKENS)
        found[store] = float(result.memory[MEMORY].metrics["perplexity"])
    return found
