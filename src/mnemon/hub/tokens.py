import json
from collections.abc import Callable
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Library
from transformers import PreTrainedTokenizerFast

from mnemon.config import Problem
from mnemon.data import Tokenizer

START, PAD = "<start>", "<pad>"
SPACE = r"\s\x1c-\x1f"  # what Python takes for white space


def fast_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer of ours for transformers: the same ids, the start id in front, padding on the left.

    A special token's name inside a text is text, as in ours. The padding token is added behind the vocabulary.
    """
    values = tokenizer.values()
    library = LIBRARIES[values.get("kind", "library")](values)
    if PAD not in library.get_vocab() and library.get_vocab_size() != tokenizer.vocab_size:
        raise Problem(f"the tokenizer's ids have gaps, so that {PAD} cannot be added behind them: add one yourself")
    start = None if tokenizer.start is None else library.id_to_token(tokenizer.start)
    if start is not None:
        library.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A $B", special_tokens=[(start, tokenizer.start)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=library,
        bos_token=start,
        eos_token=start,  # where a document ends the next would begin; tools that ask for an end token get this one
        pad_token=PAD,
        padding_side="left",
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def _bytes(values: dict[str, Any]) -> Library:
    """The 256 bytes in their order, and the start token."""
    vocabulary = {letter: byte for byte, letter in _letters().items()}
    library = Library(models.BPE(vocabulary, []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens([START])
    return library


def _symbols(values: dict[str, Any]) -> Library:
    """The bytes of the training text; any other is an error, for there is no token that could stand for it."""
    letters = _letters()
    library = Library(models.WordLevel({letters[byte]: i for i, byte in enumerate([ord("\n"), *values["symbols"]])}))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([whole, pre_tokenizers.Split(Regex("."), "isolated")])
    library.decoder = decoders.ByteLevel()
    return library


def _words(values: dict[str, Any]) -> Library:
    """What white space separates, `<eos>` for a line end."""
    library = Library(models.WordLevel({word: i for i, word in enumerate(values["words"])}, "<unk>"))
    library.normalizer = normalizers.Replace("\n", " <eos> ")
    library.pre_tokenizer = pre_tokenizers.Split(Regex(f"[^{SPACE}]+"), "removed", invert=True)
    # Words with spaces between them (no word begins with this prefix), then lines.
    spaced = decoders.WordPiece(prefix="\0", cleanup=False)
    lines = decoders.Replace(Regex(f" ?(?<![^{SPACE}])<eos>(?![^{SPACE}]) ?"), "\n")
    library.decoder = decoders.Sequence([spaced, decoders.Fuse(), lines])
    return library


def _letters() -> dict[int, str]:
    """The character by which the library writes each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


LIBRARIES: dict[str, Callable[[dict[str, Any]], Library]] = {
    "bytes": _bytes,
    "symbols": _symbols,
    "words": _words,
    "library": lambda values: Library.from_str(json.dumps(values)),
}
