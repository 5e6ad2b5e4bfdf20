import numpy as np
import pytest
import torch

import tiny
from mnemon.data import Document, Tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.data.symbols import Symbols
from mnemon.evaluate import prepared, traced
from mnemon.model import Transformer

DOCUMENT = Document("d", tiny.text(1, 4)[:150])
TOKENIZERS = {"start": Bytes(), "no start": Symbols.of([DOCUMENT])}


def model(**knn: object) -> Transformer:
    """A memory in both layers, whose second head has its gate nearly shut."""
    kept = tiny.POOLS["memorizing-all-attention"]
    made = tiny.model("memorizing-all-attention", pools=kept.replace(knn=kept.knn.replace(**knn))).build(seed=3)
    for block in made.blocks:
        block.attention.gate.data.copy_(torch.tensor([1.0, -3.0]))
    return made.eval()


@pytest.mark.parametrize("value", ["own", "next"])
@pytest.mark.parametrize("start", TOKENIZERS)
def test_looks_cover_every_predicted_token_and_say_what_was_stored(start: str, value: str) -> None:
    tokenizer: Tokenizer = TOKENIZERS[start]
    (text,) = prepared([DOCUMENT], tokenizer, None)
    predicted: list[int] = []
    for look in traced(model(size=48, top_k=48, value=value), tokenizer, text, 48, "float32"):
        length = look.traces[0].reach.shape[2]
        predicted += range(look.first, look.first + length)
        for trace in look.traces:
            found = trace.neighbours
            if not look.stored:
                assert found is None
                continue
            # Whoever asks for as many as are stored finds all of them.
            tokens = look.tokens(found)
            for query in tokens[found.valid[0]].view(2, length, -1).flatten(0, 1).tolist():
                assert sorted(query) == list(look.stored)
            ages = look.ages(found)[found.valid[0]]
            assert bool((ages >= 1).all())
            assert bool((ages <= 48 + 16).all())
    assert predicted == list(range(0 if start == "start" else 1, len(text.ids)))


def test_the_heaviest_entries_are_those_of_largest_share_each_token_once() -> None:
    (text,) = prepared([DOCUMENT], TOKENIZERS["start"], None)
    for look in traced(model(top_k=6), TOKENIZERS["start"], text, 48, "float32"):
        for query, found in enumerate(look.heaviest(5)):
            wanted: dict[int, tuple[float, int, int]] = {}
            for trace in look.traces if look.stored else []:
                shares = trace.neighbours.weights[0] * trace.shares["knn"][0, :, :, None]
                for head in range(2):
                    for weight, token in zip(
                        shares[head, query], look.tokens(trace.neighbours)[head, query], strict=True
                    ):
                        entry = (float(weight), trace.layer, head)
                        if int(token) >= 0:
                            wanted[int(token)] = max(wanted.get(int(token), entry), entry)
            best = sorted(wanted.values(), reverse=True)[:5]
            assert [each.weight for each in found] == [weight for weight, _, _ in best]
            assert all((each.weight, each.layer, each.head) == wanted[each.token] for each in found)
            assert len({each.token for each in found}) == len(found)
            assert all(-1e-5 <= each.distance <= 2 + 1e-5 for each in found)


def test_reading_with_looks_gives_the_losses_of_reading_without() -> None:
    """The same forward: what is looked at is what the losses were made with."""
    made, tokenizer = model(), TOKENIZERS["start"]
    (text,) = prepared([DOCUMENT], tokenizer, 40)
    ids = torch.from_numpy(np.concatenate([[256], text.ids[:15]])).long()[None]
    plain, _ = made(ids, made.init_state(1, 48))
    looked, _ = made(ids, made.init_state(1, 48), inspect=True)
    torch.testing.assert_close(plain.hidden, looked.hidden)


def test_a_model_without_memory_looks_at_nothing_remembered() -> None:
    made = tiny.model("all-attention").build().eval()
    (text,) = prepared([DOCUMENT], TOKENIZERS["start"], 40)
    for look in traced(made, TOKENIZERS["start"], text, 0, "float32"):
        assert len(look.stored) == 0
        assert set(map(len, look.heaviest(3))) == {0}
