from tokenizers import Tokenizer as Library
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mnemon.config import Problem
from mnemon.data.subwords import Subwords


def plain_tokenizer(tokenizer: PreTrainedTokenizerBase) -> Subwords:
    """A host's tokenizer as `data` knows tokenizers: without special tokens, which whoever feeds the host adds."""
    if not tokenizer.is_fast:
        raise Problem(
            f"{type(tokenizer).__name__} cannot say which characters its tokens cover; use one of the tokenizers "
            "library, which AutoTokenizer gives for most models"
        )
    made = Subwords(Library.from_str(tokenizer.backend_tokenizer.to_str()))
    made.start = None
    return made


def host_tokenizer(library: Library) -> PreTrainedTokenizerFast:
    """A tokenizer of the `tokenizers` library for a host, without special tokens."""
    return PreTrainedTokenizerFast(tokenizer_object=library)
