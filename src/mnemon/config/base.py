import difflib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Problem(ValueError):
    """Bad input, said in one line: what is wrong, where, and what to do about it."""


def nearest(name: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` for the known name closest to `name`, else the list of known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
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
            path = [str(part) for part in first["loc"]]
            known = _fields_at(cls, path[:-1])
            hint = nearest(path[-1], known) if first["type"] == "extra_forbidden" and known else ""
            said = "unknown key" if hint else f"{first['msg']}, got {json.dumps(first.get('input'), default=str)}"
            raise Problem(f"{where}: {'.'.join(path)}: {said}{hint}") from None

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed; `a__b=x` changes field `b` of the config in field `a`."""
        values: dict[str, Any] = {}
        for name, value in changes.items():
            field, _, rest = name.partition("__")
            values[field] = values.get(field, getattr(self, field)).replace(**{rest: value}) if rest else value
        return type(self).model_validate({**dict(self), **values})


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the config class that `path` leads to from `cls`; empty where it leads to none."""
    for part in path:
        field = cls.model_fields.get(part)
        kinds = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return []
        cls = inner[0]
    return list(cls.model_fields)
