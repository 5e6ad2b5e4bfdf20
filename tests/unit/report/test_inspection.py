import json
import re
from typing import Any

import pytest

from inspections import HOSTILE, large, small
from mnemon.config import Problem
from mnemon.report import check_free, write_inspection
from mnemon.report.inspected import best, gain_rows, summary
from mnemon.report.inspection import render
from mnemon.report.wording import MINUS


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_page_and_data_are_written_once(tmp_path) -> None:
    found = small()
    check_free(tmp_path)
    page = write_inspection(found, tmp_path, "my <run>", {"recipe": "a & b"})
    values = json.loads((tmp_path / "inspection.json").read_text(encoding="utf-8"))
    assert values == {"run": "my <run>", **found.as_json()}
    assert data_of(page.read_text(encoding="utf-8")) == values
    with pytest.raises(Problem, match=r"inspection\.html: exists already"):
        write_inspection(found, tmp_path, "my run")
    page.unlink()
    with pytest.raises(Problem, match=r"inspection\.json: exists already"):
        check_free(tmp_path)


def test_nothing_in_the_text_is_taken_for_markup(tmp_path) -> None:
    page = write_inspection(small(), tmp_path, "<u>", {"a<b": "c&d"}).read_text(encoding="utf-8")
    assert HOSTILE in data_of(page)["text"]
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)" not in page.replace("alert(1)\\u003c/script", "")
    for raw in ("<i>doc", "<u>", "a<b", "c&d", "a<b>.py", "\u2028"):
        assert raw not in page
    assert "&lt;u&gt;" in page


def test_the_policy_of_the_page_admits_its_own_script_alone(tmp_path) -> None:
    page = write_inspection(small(), tmp_path, "run").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]+=*'", policy.replace("&#43;", "+"))
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_a_page_of_a_full_document_stays_under_five_megabytes() -> None:
    assert len(render(large(), {}).encode("utf-8")) < 5_000_000


def test_a_model_without_memory_has_a_page_without_memory(tmp_path) -> None:
    page = write_inspection(small("transformer-xl"), tmp_path, "run").read_text(encoding="utf-8")
    assert "Which tokens gain" not in page
    assert "How each head used the memory" not in page
    assert "How far every head looks back" in page
    assert "learned span" not in page
    assert data_of(page)["gains"] == {}


def test_a_learned_span_is_shown(tmp_path) -> None:
    assert "learned span" in write_inspection(small("all-attention"), tmp_path, "run").read_text(encoding="utf-8")


def test_the_summary_says_what_remains_without_memory_and_in_the_controls() -> None:
    values = small().as_json()
    (row,) = values["gains"]["all"]
    row |= {"nats_per_token": 2 * 0.6931472, "gain": {"none": 0.6931472, "shuffled": -0.34657, "other": 0.0}}
    assert summary(values) == (
        "With a memory of 48 entries the model needs 2.00 bits for each token: 1.00 fewer than without memory, 0.50 "
        "more than when the memory is shuffled and 0.00 fewer than with the memory of another document, other."
    )


def test_bars_of_gains_share_a_scale_that_shows_zero() -> None:
    values = small().as_json()
    made = [
        {"label": kind, "tokens": 1, "gain": {"none": gain}, "share": share}
        for kind, gain, share in (("number", 3, 1.5), ("other", -1, -0.5))
    ]
    first, second = gain_rows({**values, "gains": {"by_kind": made}}, "by_kind")
    assert (first["zero"], first["start"], first["width"], first["share"]) == (25, 25, 75, "150 %")
    assert (second["label"], second["start"], second["width"], second["share"]) == (
        "white space and other",
        0,
        25,
        f"{MINUS}50 %",
    )


def test_the_best_names_are_told_once_each_with_the_piece_that_gained() -> None:
    values = large(400)
    found = best(values)
    assert len({"".join(each["parts"]) for each in found}) == len(found) == 12
    assert [each["bits"] for each in found] == sorted((each["bits"] for each in found), reverse=True)
    for each in found:
        start, end = values["tokens"]["start"][each["token"]], values["tokens"]["end"][each["token"]]
        assert values["text"][start:end].strip() == each["parts"][1]
