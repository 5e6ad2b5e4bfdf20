from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch

from mnemon.config import Problem
from mnemon.index import INDEXES, Store, StoreKind, bucketed_search, exact_search, find_index
from mnemon.index.named import chosen


def test_a_name_is_the_function() -> None:
    assert [find_index(name).func for name in INDEXES] == list(INDEXES.values())
    assert find_index("exact").func is exact_search


def test_options_are_given_to_the_function() -> None:
    q, keys = torch.randn(1, 3, 4), torch.randn(1, 50, 4)
    for options, buckets in (("", 128), (":buckets=7", 7), (":buckets=9,", 9)):
        found, expected = find_index(f"bucketed{options}")(q, keys, 5), bucketed_search(q, keys, 5, buckets=buckets)
        assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("exakt", r"'exakt': no such index .did you mean 'exact'"),
        ("bucketed:bucket=4", r"bucketed has no option 'bucket' .did you mean 'buckets'"),
        ("exact:buckets=4", r"exact has no option 'buckets'$"),
        ("bucketed:top_k=4", r"bucketed has no option 'top_k'"),
        ("bucketed:buckets=0", r"buckets must be a whole number from 1 on, got '0'"),
        ("bucketed:buckets=many", r"buckets must be a whole number from 1 on, got 'many'"),
        ("bucketed:buckets", r"buckets must be a whole number from 1 on, got ''"),
    ],
)
def test_what_does_not_fit_is_said(said: str, message: str) -> None:
    with pytest.raises(Problem, match=message):
        find_index(said)


@dataclass(frozen=True)
class Made(StoreKind):
    uri: str = "here"
    many: int = 3

    def check(self) -> None: ...

    def reach(self, dim: int) -> None: ...

    def empty(self, rows: int, heads: int, size: int, dim: int, like: torch.Tensor) -> Store:
        raise AssertionError

    def loaded(self, tensors: Mapping[str, torch.Tensor], size: int) -> Store:
        raise AssertionError


def test_options_of_a_store_are_its_fields_and_may_be_texts() -> None:
    kinds = {"made": Made()}
    assert chosen(kinds, "made") == Made()
    assert chosen(kinds, "made:uri=http://host:19530,many=7") == Made("http://host:19530", 7)
    with pytest.raises(Problem, match=r"made has no option 'urn' .did you mean 'uri'"):
        chosen(kinds, "made:urn=memory.db")
    with pytest.raises(Problem, match=r"many must be a whole number from 1 on, got 'x'"):
        chosen(kinds, "made:many=x")
