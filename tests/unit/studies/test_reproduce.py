from pathlib import Path

import pytest

from mnemon.config import Problem, read_json
from mnemon.studies import TABLES, reproduce
from mnemon.studies.reproduce import page

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def test_an_unknown_table_is_a_problem_that_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="'pairing'"):
        reproduce("pairings", tmp_path / "runs", tmp_path / "docs")


@pytest.mark.parametrize("record", sorted((RESULTS / "records").glob("*.json")), ids=lambda path: path.stem)
def test_committed_pages_are_what_their_records_give(record: Path) -> None:
    values = read_json(record)
    if values["table"] in TABLES:
        assert (RESULTS / f"{record.stem}.md").read_text(encoding="utf-8") == page(values)


def test_a_page_shows_every_figure_claim_and_the_command() -> None:
    model = {
        "params": 1234,
        "tokens": 5678,
        "seeds": [0, 1],
        "bits_per_byte": {"0": 2.0, "512": 1.5},
        "per_seed": [{"seed": seed, "bits_per_byte": {"0": 2.0 + seed, "512": 1.5}} for seed in (0, 1)],
    }
    claim = {
        "name": "n",
        "bits_per_byte": -0.5,
        "interval": [-0.6, -0.4],
        "documents": 3,
        "holds": True,
        "text": "less",
    }
    record = {
        "table": "demo",
        "command": "mnemon reproduce demo",
        "models": {"big": model},
        "comparisons": [claim],
        "corpus": {"name": "texts", "fingerprint": "abc"},
        "environment": {"processor": "a chip", "torch": "2", "date": "2026-01-01"},
        "method": ["as it was"],
    }
    text = page(record)
    for shown in ("2.0000", "3.0000", "1.5000", "-0.5000", "-0.6000 to -0.4000", "| yes |", "1,234", "5,678", "a chip"):
        assert shown in text
    assert "mnemon reproduce demo" in text


def test_the_speed_page_shows_rates_ratios_and_a_missing_peer() -> None:
    spread = {"median": 3724.0, "low": 3353.0, "high": 3850.0}
    model = {"dim": 7, "n_heads": 3, "vocab_size": 9000, "segment": 11}
    found = {
        "rounds": 5,
        "steps": 4,
        "layers": [2, 12],
        "tokens_a_step": 1024,
        "models": {
            "no memory": {"tokens_per_second": spread, "floor": {"share": 0.444}},
            "peer": {"missing": "make bench-peers"},
        },
        "ratios": {"full_to_none": {"median": 1.37, "low": 1.29, "high": 1.42}},
        "environment": {"threads": 1},
        "recipes": {"without": {"model": model, "train": {"lanes": 4}}},
    }
    record = {
        "table": "train-speed",
        "command": "mnemon reproduce train-speed",
        "shapes": {"small": found},
        "environment": {"processor": "a chip", "torch": "2", "date": "2026-01-01"},
    }
    text = page(record)
    for shown in ("3,724", "3,353", "44% |", "make bench-peers", "full to none | 1.37 | 1.29 | 1.42", "1,024 tokens"):
        assert shown in text
    for shown in ("a chip", "## small", "2 of 12 layers", "vocabulary 9,000"):
        assert shown in text


def test_the_staleness_page_shows_cosines_by_age_and_what_encoding_anew_brings() -> None:
    record = {
        "table": "staleness",
        "command": "mnemon reproduce staleness",
        "steps": 40,
        "looks": [
            {"step": 20, "key_cosine": 0.9, "key_cosine_1_to_1": 0.95},
            {"step": 40, "key_cosine": 0.7, "key_cosine_1_to_1": 0.96, "key_cosine_2_to_3": 0.61},
        ],
        "bits_per_byte": {"stored once": [2.0, 2.2], "encoded anew": [2.5, 2.7]},
        "comparison": {"text": "It helps.", "bits_per_byte": 0.5, "interval": [0.4, 0.6], "holds": False},
        "corpus": {"name": "texts", "fingerprint": "abc"},
        "environment": {"processor": "a chip", "torch": "2", "date": "2026-01-01"},
    }
    text = page(record)
    for shown in ("| step | all | 1 to 1 | 2 to 3 |", "| 20 | 0.900 | 0.950 |  |", "| 40 | 0.700 | 0.960 | 0.610 |"):
        assert shown in text
    assert "| stored once | 2.1000 | 2 |" in text
    assert "It helps. No: +0.5000, 95 % interval over documents +0.4000 to +0.6000." in text


def test_the_recall_page_shows_each_index_and_what_is_missing() -> None:
    record = {
        "table": "recall",
        "command": "mnemon reproduce recall",
        "indexes": {
            "exact": {"64": {"recall": 1.0, "milliseconds": 1.25}},
            "scann": {"64": {"missing": "not installed"}},
        },
        "sizes": [64],
        "queries": 8,
        "top_k": 4,
        "dim": 16,
        "seed": 0,
        "environment": {"processor": "a chip", "torch": "2", "date": "2026-01-01"},
    }
    text = page(record)
    for shown in ("| exact | 1.000 | 1.2 |", "| scann | not installed |  |", "8 queries of one head for 4 neighbours"):
        assert shown in text
