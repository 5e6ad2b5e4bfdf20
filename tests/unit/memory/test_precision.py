from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memories import FINGERPRINT, LAYERS, document, equal, files, fingerprint
from mnemon.config import Problem
from mnemon.memory import load, read_contents, save
from mnemon.memory.precision import TOP_K, decode, encode, keeps_all, recall, sample

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def returned(x: torch.Tensor, precision: str) -> torch.Tensor:
    return decode(*encode(x, precision), x.dtype)


@given(st.integers(0, 999), st.sampled_from([1e-30, 1e-3, 1.0, 1e4, 1e30]), st.sampled_from(FLOATS))
def test_int8_is_wrong_by_less_than_a_step_and_only_once(seed: int, size: float, dtype: torch.dtype) -> None:
    size = min(size, 1e4) if dtype == torch.float16 else size
    x = (torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed)) * size).to(dtype)
    codes, largest = encode(x, "int8")
    once = decode(codes, largest, dtype)
    step = x.double().abs().amax(-1, keepdim=True) / 127
    own = torch.finfo(dtype).eps * x.double().abs() + torch.finfo(dtype).tiny
    assert ((once.double() - x.double()).abs() <= 0.76 * step + own).all()
    if dtype != torch.float16 or size >= 1:  # beneath, half floats themselves are coarser than int8
        again = encode(once, "int8")
        assert torch.equal(again[0], codes)
        assert torch.equal(again[1], largest)


def test_zeros_and_the_largest_numbers_survive_int8() -> None:
    greatest = torch.finfo(torch.float32).max
    x = torch.tensor([[[0.0, 0.0], [greatest, -greatest], [1e-45, 0.0]]])
    once = returned(x, "int8")
    assert once.isfinite().all()
    assert torch.equal(once[0, 0], torch.zeros(2))
    assert torch.allclose(once[0, 1], x[0, 1], rtol=0.01)


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16", "float16", "int8"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_precision_keeps_all_exactly_where_it_says_so(precision: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 0] = 1e-30
    assert torch.equal(returned(x, precision), x) == keeps_all(precision, dtype)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_what_was_loaded_is_saved_as_the_same_bytes(tmp_path: Path, precision: str) -> None:
    documents = [document("one", n=50), document("two", n=90, seed=1)]
    done = save(tmp_path / "m", documents, FINGERPRINT, precision)
    before = files(tmp_path / "m")
    again = save(tmp_path / "m", load(tmp_path / "m")[1], FINGERPRINT)  # as the memory is
    assert (again.written, again.precision, again.recall) == (0, precision, done.recall)
    assert files(tmp_path / "m") == before


def test_int8_takes_a_quarter_and_tells_what_it_keeps(tmp_path: Path) -> None:
    documents = [document("one", n=700), document("two", n=500, seed=1)]
    plain = save(tmp_path / "a", documents, FINGERPRINT)
    done = save(tmp_path / "b", documents, FINGERPRINT, "int8")
    numbers = 2 * len(LAYERS) * 1200 * 2
    assert plain.bytes - done.bytes == pytest.approx(numbers * (4 * 5 - 5 - 2), rel=0.01)
    assert done.recall == read_contents(tmp_path / "b").recall
    assert set(done.recall) == set(LAYERS)
    assert all(0.9 < share < 1 for share in done.recall.values())
    whose, found = load(tmp_path / "b")
    assert whose == FINGERPRINT
    assert found[0].keys[3].dtype == torch.float32
    assert torch.allclose(found[1].values[10], documents[1].values[10], atol=0.03)
    assert save(tmp_path / "c", documents, FINGERPRINT, "bfloat16").recall[3] > done.recall[3]


def test_numbers_that_a_precision_does_not_reach_are_refused(tmp_path: Path) -> None:
    large = document("large")
    large.keys[10][1, 2, 3] = 1e6
    save(tmp_path / "m", [], FINGERPRINT)
    with pytest.raises(Problem, match="document 'large': keys of layer 10 are too large for float16"):
        save(tmp_path / "m", [large], FINGERPRINT, "float16")
    assert list(files(tmp_path / "m")) == ["index.json"]


def test_a_changed_precision_writes_anew_and_measures_anew(tmp_path: Path) -> None:
    one = [document("one", n=400)]
    save(tmp_path / "m", one, FINGERPRINT, "int8")
    done = save(tmp_path / "m", one, FINGERPRINT, "float32")
    assert (done.written, done.precision, done.recall) == (1, "float32", dict.fromkeys(LAYERS, 1.0))
    assert equal(load(tmp_path / "m")[1][0], one[0])
    assert len(list((tmp_path / "m").glob("*.safetensors"))) == 1


def test_what_is_stored_in_another_type_than_the_memorys_is_loaded_in_the_memorys(tmp_path: Path) -> None:
    half = document("one", dtype=torch.bfloat16)
    done = save(tmp_path / "m", [half], fingerprint("bfloat16"), "float32")
    assert done.recall == dict.fromkeys(LAYERS, 1.0)
    assert equal(load(tmp_path / "m")[1][0], half)


def test_recall_is_that_of_plain_loops() -> None:
    keys = [torch.randn(2, n, 5, generator=torch.Generator().manual_seed(n)) for n in (40, 0, 30)]
    chosen = sample([40, 0, 30])
    assert sum(map(len, chosen)) == 64
    total = []
    every = torch.cat(keys, 1)
    stored = torch.cat([returned(each, "int8") for each in keys], 1)
    for head in range(2):
        for each, places in zip(keys, chosen, strict=True):
            for place in places:
                query = each[head, place]
                best, after = ({*(x[head] @ query).topk(TOP_K).indices.tolist()} for x in (every, stored))
                total.append(len(best & after) / TOP_K)
    assert recall(keys, chosen, "int8") == pytest.approx(sum(total) / len(total), abs=1e-12)


def test_queries_are_drawn_from_new_documents_and_always_the_same() -> None:
    chosen = sample([0, 300, 0, 5])
    assert [len(each) for each in chosen][::2] == [0, 0]
    assert sum(map(len, chosen)) == 64
    assert all(torch.equal(a, b) for a, b in zip(chosen, sample([0, 300, 0, 5]), strict=True))
    assert [each.tolist() for each in sample([2, 1])] == [[0, 1], [0]]
