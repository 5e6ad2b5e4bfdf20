from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Fingerprint:
    """What a memory belongs to: entries made by another model, or stored another way, mean nothing to this one.

    `model`: its type and a digest of its weights. `tokenizer`: a digest. `layers` have a memory of `heads` key/value
    heads of width `dim`, kept in `dtype`. `positions`: the policy that entries were read under; `value`: whether a
    token's key stands with its own value or the next token's.
    """

    model: str
    tokenizer: str
    layers: tuple[int, ...]
    heads: int
    dim: int
    positions: str
    dtype: str
    value: str = "own"

    def differs(self, other: "Fingerprint") -> str | None:
        """What is not the same in `other`, in words; None where all is."""
        mine, theirs = asdict(self), asdict(other)
        unequal = [f"{name} {theirs[name]!r} instead of {mine[name]!r}" for name in mine if mine[name] != theirs[name]]
        return "; ".join(unequal) or None
