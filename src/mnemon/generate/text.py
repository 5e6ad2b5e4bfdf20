from collections.abc import Callable, Iterable

from torch import nn

from mnemon.data import Tokenizer
from mnemon.generate.generation import Generation, Token
from mnemon.generate.generator import Generator
from mnemon.generate.sampling import Sampling
from mnemon.model import Precision


def generate(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    remember: Iterable[tuple[str, str]] = (),
    sampling: Sampling | None = None,
    memory: int | None = None,
    precision: Precision = "float32",
    on_token: Callable[[Token], None] | None = None,
) -> Generation:
    """Read the documents `remember`, each a name and a text, into memory, then the prompt, and continue it.

    `memory`: entries of the kNN store (None: as the model was configured). `on_token` is called for each token as it is
    drawn.
    """
    generator = Generator(model, tokenizer, memory, precision)
    for name, text in remember:
        generator.remember(name, text)
    generator.read(prompt)
    return generator.write(sampling or Sampling(), on_token)
