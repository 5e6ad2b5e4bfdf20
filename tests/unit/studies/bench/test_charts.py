from pathlib import Path

import pytest

from mnemon.config import read_json
from mnemon.studies.bench.charts import attach_chart, recall_chart, span_chart, train_chart

RECORDS = Path(__file__).parents[4] / "docs" / "results" / "records"


def test_what_is_missing_is_left_out() -> None:
    speed = {"median": 2.0, "low": 1.0, "high": 3.0}
    chart = train_chart({"models": {"ours": {"tokens_per_second": speed}, "peer": {"missing": "no environment"}}})
    assert chart.values == {"ours": {0: speed}}
    found = {"queries": 3, "indexes": {"exact": {"8": {"recall": 1.0, "milliseconds": 5.0}, "9": {"missing": "it"}}}}
    found["indexes"]["other"] = {"8": {"missing": "it"}}
    assert recall_chart(found).values == {"exact, 1.000": {8: {"median": 5.0, "low": 5.0, "high": 5.0}}}


@pytest.mark.skipif(not RECORDS.is_dir(), reason="the documentation is not beside the tests")
def test_committed_records_have_a_chart() -> None:
    assert next(iter(train_chart(read_json(RECORDS / "train-speed.json")["shapes"]["tiny"]).values)) == "no memory"
    attached = attach_chart(read_json(RECORDS / "attach-speed.json")).values
    assert list(attached)[:2] == ["prefill, plain", "prefill, memory"]
    assert list(span_chart(read_json(RECORDS / "span.json")).values) == ["all heads", "one head"]
