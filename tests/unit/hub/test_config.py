from pathlib import Path

import pytest
from transformers import AutoConfig
from transformers.utils import logging

from hub_models import KINDS
from mnemon.config import Problem
from mnemon.hub import MnemonConfig


@pytest.mark.parametrize("name", KINDS)
def test_a_config_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    config = MnemonConfig.of(KINDS[name], pad_token_id=99)
    config.save_pretrained(tmp_path)
    found = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(found, MnemonConfig)
    assert found.settings == KINDS[name]
    assert found.pad_token_id == 99
    assert found.to_json_string() == config.to_json_string()


def test_sizes_have_the_names_that_transformers_gives_them() -> None:
    config = MnemonConfig.of(KINDS["vanilla"])
    sizes = (
        config.vocab_size,
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.head_dim,
    )
    assert sizes == (13, 12, 2, 3, 4)


def test_every_value_of_a_model_is_checked_where_it_comes_in() -> None:
    with pytest.raises(Problem, match=r"model: widow: unknown key \(did you mean 'window'\?\)"):
        MnemonConfig(model={"widow": 3})
    with pytest.raises(Problem, match=r"model: pools.knn.top_k: .*got 0"):
        MnemonConfig(model={"pools": {"knn": {"top_k": 0}}})
    with pytest.raises(Problem, match=r"dim is a value of the model; say model=\{'dim': ...\}"):
        MnemonConfig(dim=3)
    assert MnemonConfig().settings.dim == 256


def test_the_ids_of_special_tokens_are_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Problem, match="bos_token_id 13: the vocabulary of this model ends at 12"):
        MnemonConfig.of(KINDS["vanilla"], bos_token_id=13)
    logging.enable_propagation()
    config = MnemonConfig.of(KINDS["vanilla"], bos_token_id=12, pad_token_id=13)
    with caplog.at_level("WARNING"):
        config.save_pretrained(tmp_path)
    logging.disable_propagation()
    assert not caplog.records
