import difflib
import json
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class Problem(ValueError):
    """Bad input, said in one line: what is wrong, where, and what to do about it."""


def nearest(name: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` for the known name closest to `name`, else the list of known names if it is short."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5 if len(known) <= 20 else 0.0)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(sorted(known))})"


class Config(BaseModel):
    """Frozen values of one class, kept in the file of that class; `build` makes the instance."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> Self:
        """The config that `values` describe; a `Problem` naming `where` and the first bad key otherwise."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            path, known = _follow(cls, [str(part) for part in first["loc"]])
            said = f"{first['msg']}, got {json.dumps(first.get('input'), default=str)}"
            if first["type"] == "value_error":  # said by a config itself, with the values that matter
                said = first["msg"].removeprefix("Value error, ")
            if first["type"] == "extra_forbidden":
                said = f"unknown key{nearest(path[-1], known)}"
            raise Problem(": ".join(filter(None, [where, ".".join(path), said]))) from None

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed; `a__b=x` changes field `b` of the config in field `a`."""
        values: dict[str, Any] = {}
        for name, value in changes.items():
            field, _, rest = name.partition("__")
            values[field] = values.get(field, getattr(self, field)).replace(**{rest: value}) if rest else value
        return type(self).model_validate({**dict(self), **values})


def _follow(cls: type[BaseModel], location: list[str]) -> tuple[list[str], list[str]]:
    """The keys of a pydantic error location that starts at `cls`, and the field names known beside the last one."""
    path: list[str] = []
    kinds, known = [cls], []
    for part in location:
        chosen = [kind for kind in kinds if "kind" in kind.model_fields and kind.model_fields["kind"].default == part]
        if len(kinds) > 1 and chosen:  # pydantic puts the chosen member of a union among the keys
            kinds = chosen
            continue
        path.append(part)
        fields = {name: field for kind in kinds for name, field in kind.model_fields.items()}
        known = list(fields)
        annotation = fields[part].annotation if part in fields else None
        inner = [annotation, *get_args(annotation)]
        kinds = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return path, known
