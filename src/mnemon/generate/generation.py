from dataclasses import dataclass

from mnemon.data import Tokenizer


@dataclass(frozen=True)
class Remembered:
    """A document that was read into memory; its tokens stand at the stream positions from `first` to before `end`."""

    name: str
    first: int
    end: int


@dataclass(frozen=True)
class Token:
    """A token as it is drawn: `text` is what it adds to its row's text, empty inside an unfinished character."""

    row: int
    id: int
    text: str


@dataclass(frozen=True)
class Generation:
    """What was written, row by row; `text` and `tokens` are those of the first row, without the prompt."""

    texts: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    remembered: tuple[Remembered, ...] = ()

    @property
    def text(self) -> str:
        return self.texts[0]

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.rows[0]


class Decoding:
    """The text of one row as its tokens come: `add` gives what each of them adds."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.text = ""
        self._from, self._said = 0, 0  # tokens from `_from` on are decoded together, those before `_said` are said

    def add(self, token: int, last: bool = False) -> str:
        """What the text gains; nothing while its last character is unfinished, unless this is the last token."""
        self.ids.append(token)
        whole = self.tokenizer.decode(self.ids[self._from :])
        if whole.endswith("\N{REPLACEMENT CHARACTER}") and not last:
            return ""
        # Decoding the piece before as well shows how the tokenizer joins the two.
        added = whole[len(self.tokenizer.decode(self.ids[self._from : self._said])) :]
        self._from, self._said = self._said, len(self.ids)
        self.text += added
        return added
