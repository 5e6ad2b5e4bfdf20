from typing import Literal

from pydantic import Field

from mnemon.config import Config


class DataConfig(Config):
    """Which texts to read and how to cut them into tokens; `load_corpus` and `make_tokenizer` take it."""

    source: str = Field(
        "python-env",
        description="python-env, NAME:PATH of a known data set, or a folder, glob, JSON Lines file or byte stream",
    )
    tokenizer: str = Field("bpe", description="bytes, symbols, words, bpe or file")
    vocab_size: int | None = Field(None, ge=2, description="tokens of bpe (default 1024), most of words (default all)")
    tokenizer_file: str | None = Field(None, description="a tokenizer.json of the tokenizers library, for 'file'")
    document: Literal["file", "folder"] = Field("file", description="what one document of a folder is")
    strict: bool = Field(False, description="a file that is not UTF-8 text is an error, not skipped")
    download: bool = Field(False, description="fetch a data set that is named without a path")
    partial: bool = Field(False, description="take an incomplete copy of a named data set, as NAME-partial")
    max_documents: int | None = Field(None, ge=1, description="read at most so many documents a split")
    max_bytes: int = Field(64 * 2**20, ge=1, description="most bytes of python-env")
    cache: str | None = Field(None, description="folder of prepared corpora (default: mnemon in the user's cache)")
    seed: int = Field(0, ge=0, description="order of the files inside documents that are put together")
