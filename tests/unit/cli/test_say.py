import json
import math

import pytest

from mnemon.cli.say import result, table


def test_json_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    result({"loss": 1 / 3, "text": "é\n"}, True, lambda: "unused")
    assert json.loads(capsys.readouterr().out) == {"loss": 1 / 3, "text": "é\n"}


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        result({"loss": math.nan}, True, lambda: "unused")


def test_people_get_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    result({"loss": 1}, False, lambda: "a line")
    assert capsys.readouterr().out == "a line\n"


def test_columns_are_aligned() -> None:
    assert table([["part", "n"], ["head", 1024], ["embedding", 7]]) == "\n".join(
        ["part          n", "head       1024", "embedding     7"]
    )
