from pathlib import Path

from mnemon.config import Problem
from mnemon.data.archive import files_of
from mnemon.data.document import Corpus
from mnemon.data.hub import rows
from mnemon.data.named import Check, Named
from mnemon.data.options import DataConfig
from mnemon.data.source import HUB_SPLITS, SPLITS
from mnemon.data.stream import streams
from mnemon.data.text import decoded_strictly

NAME = "wikitext-103"
HUB = ("Salesforce/wikitext", "wikitext-103-v1")
TOKENS = {"train": 103_227_021, "valid": 217_646, "test": 245_569}


def read(place: Path, options: DataConfig) -> Corpus:
    """`wiki.train.tokens` and its two fellows, or `train.txt`, `valid.txt` and `test.txt`: one stream each."""
    files = {name.rpartition("/")[2]: file for name, file in files_of(place).items()}
    if "wiki.train.raw" in files:
        raise Problem(f"{place}: the raw form; the words are in wikitext-103-v1 (wiki.train.tokens)")
    texts = {}
    for split in SPLITS:
        for name in (f"wiki.{split}.tokens", f"{split}.txt"):
            if name in files:
                texts[split] = decoded_strictly(files[name](), f"{place}: {name}")
                break
    if not texts:
        raise Problem(f"{place}: no wiki.train.tokens, wiki.valid.tokens or wiki.test.tokens there")
    return streams(NAME, texts, str(place))


def fetch(options: DataConfig) -> Corpus:
    """The copy on the Hugging Face hub, a line a row; an empty line there has lost its end."""
    texts = {}
    for split in SPLITS:
        lines = (row["text"] for row in rows(NAME, HUB_SPLITS[split], *HUB))
        texts[split] = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    return streams(NAME, texts, HUB[0])


def tokens(text: str) -> int:
    """Words and line ends, as the tokenizer `words` counts them."""
    return text.count("\n") + sum(len(line.split()) for line in text.split("\n"))


def checks(corpus: Corpus) -> list[Check]:
    """The published number of tokens of each split."""
    return [
        Check(f"{split} tokens", sum(tokens(document.text) for document in corpus.split(split)), expected)
        for split, expected in TOKENS.items()
    ]


WIKITEXT103 = Named(
    name=NAME,
    about="good and featured articles of English Wikipedia as words, rare ones as <unk>",
    licence="CC-BY-SA-3.0 and GFDL",
    origin=f"https://huggingface.co/datasets/{HUB[0]} ({HUB[1]})",
    read=read,
    fetch=fetch,
    checks=checks,
)
