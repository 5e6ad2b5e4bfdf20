import json
import random
from pathlib import Path

import pytest

from mnemon.config import Problem, read_json
from mnemon.studies import demo
from mnemon.studies.demo import SIZES, STEPS, steps_of

pytestmark = pytest.mark.timeout(900)  # two trainings and six evaluations, in processes of their own


def write_corpus(folder: Path) -> None:
    """Long documents in three splits, each full of names that occur nowhere else: what memory is for."""
    folder.mkdir()
    draws = random.Random(0)
    for split, count in (("train", 4), ("valid", 1), ("test", 2)):
        documents = []
        for _ in range(count):
            names = ["".join(draws.choices("abcdefghij", k=6)) for _ in range(40)]
            lines = [f"{draws.choice(names)} = {draws.choice(names)}({draws.choice(names)})" for _ in range(1900)]
            documents.append({"id": f"{split}{len(documents)}", "text": "\n".join(lines)})
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, documents)) + "\n")


def test_minutes_pick_the_largest_entry_that_fits() -> None:
    assert steps_of(15) == STEPS[15]
    assert steps_of(29) == STEPS[15]
    with pytest.raises(Problem, match="minutes 0"):
        steps_of(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("demo")
    write_corpus(here / "texts")
    return demo(here / "demo", minutes=1, seeds=(0,), source=str(here / "texts"))


def test_the_demonstration_writes_results_of_both_models_and_a_page(made: Path) -> None:
    results = read_json(made / "results.json")
    memorizing, baseline = results["models"]["memorizing-tiny"], results["models"]["transformer-xl-tiny"]
    assert list(memorizing["bits_per_byte"]) == [str(size) for size in SIZES]
    assert list(baseline["bits_per_byte"]) == ["0"]
    assert abs(memorizing["params"] / baseline["params"] - 1) < 1e-3
    assert memorizing["tokens"] == baseline["tokens"]
    assert memorizing["seeds"] == baseline["seeds"] == [0]
    assert len(results["comparisons"]) == 5
    page = (made / "report.html").read_text(encoding="utf-8")
    assert f"{memorizing['bits_per_byte']['8192']:.3f}" in page


def test_helped_tokens_are_told_with_passages_that_were_read_before(made: Path) -> None:
    documents = map(json.loads, (made.parent / "texts" / "test.jsonl").read_text().splitlines())
    texts = {document["id"]: document["text"] for document in documents}
    helped = read_json(made / "results.json")["helped"]
    assert helped
    for each in helped:
        line = texts[each["document"]].splitlines()[each["line"] - 1]
        assert each["token"].strip() in line
        for passage in each["passages"]:
            assert passage["age"] > 0
            assert (passage["line"], passage["document"]) <= (each["line"], each["document"])


def test_a_rerun_leaves_results_alone_and_an_unfinished_one_is_continued(made: Path) -> None:
    texts = str(made.parent / "texts")
    kept = (made / "results.json").read_bytes()
    unfinished = made.with_name("demo-2")
    for name in ("memorizing-tiny-seed0", "transformer-xl-tiny-seed0"):
        (unfinished / name).parent.mkdir(exist_ok=True)
        (made / name).rename(unfinished / name)
    again = demo(made, minutes=1, seeds=(0,), source=texts)
    assert again == unfinished
    assert (made / "results.json").read_bytes() == kept
    first, second = read_json(made / "results.json"), read_json(again / "results.json")
    assert first["models"] == second["models"]
    assert first["comparisons"] == second["comparisons"]


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Problem, match=r"thesis\.txt"):
        demo(tmp_path, minutes=1, source="nowhere")
