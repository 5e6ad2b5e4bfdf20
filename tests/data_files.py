"""Small folders that look like the search path of a Python interpreter."""

from pathlib import Path

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def source(name: str, size: int) -> str:
    """About `size` bytes of Python that no other name shares."""
    lines = [f'"""Module {name}."""']
    number = sum(map(ord, name))
    while sum(map(len, lines)) < size:
        k = len(lines)
        word = WORDS[(number + k * k) % len(WORDS)]
        lines.append(f"def {word}_{name.replace('.', '_').replace('/', '_')}_{k}(x):  return x + {number * k}")
    return "\n".join(lines) + "\n"


def write(root: Path, path: str, text: str | None = None, size: int = 3000) -> str:
    """Write a module of its own text, or of the given one, at `path` below `root`."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    body = source(path.removesuffix(".py"), size) if text is None else text
    file.write_text(body, encoding="utf-8")
    return body
