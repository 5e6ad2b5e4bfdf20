import math

import pytest
import torch

from mnemon.model import EmbeddingConfig
from mnemon.model.embedding import AdaptiveEmbedding, PlainEmbedding, bounds


def test_plain_embedding_is_a_row_of_the_table() -> None:
    torch.manual_seed(0)
    embedding = EmbeddingConfig(std=0.1).build(vocab_size=900, dim=12)
    assert isinstance(embedding, PlainEmbedding)
    tokens = torch.tensor([[5, 0, 899], [7, 7, 3]])
    assert torch.equal(embedding(tokens), embedding.table[tokens])
    assert float(embedding.table.detach().std()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(20, [(0, 4), (4, 9), (9, 20)]), (9, [(0, 4), (4, 9)]), (8, [(0, 4), (4, 8)]), (3, [(0, 3)])],
)
def test_clusters_end_at_the_cuts_within_the_vocabulary(size: int, expected: list[tuple[int, int]]) -> None:
    assert bounds(size, (4, 9)) == expected


def test_adaptive_embedding_is_the_scaled_projection_of_the_cluster_s_row() -> None:
    embedding = EmbeddingConfig(kind="adaptive", cutoffs=(4, 9), divide=2).build(vocab_size=15, dim=12)
    assert isinstance(embedding, AdaptiveEmbedding)
    embedding = embedding.double()
    assert [tuple(table.shape) for table in embedding.tables] == [(4, 12), (5, 6), (6, 3)]
    tokens = torch.arange(15).reshape(3, 5)
    found = embedding(tokens)
    for token in range(15):
        cluster = 0 if token < 4 else 1 if token < 9 else 2
        row = embedding.tables[cluster][token - (0, 4, 9)[cluster]]
        expected = embedding.projections[cluster].weight @ row * math.sqrt(12)
        torch.testing.assert_close(found[token // 5, token % 5], expected)


def test_clusters_as_wide_as_the_model_are_not_projected() -> None:
    embedding = EmbeddingConfig(kind="adaptive", cutoffs=(4, 9), divide=1).build(vocab_size=15, dim=12).double()
    assert [tuple(p.shape) for p in embedding.parameters()] == [(4, 12), (5, 12), (6, 12)]
    expected = torch.cat(list(embedding.tables)) * math.sqrt(12)
    torch.testing.assert_close(embedding(torch.arange(15)[None])[0], expected)


def test_a_batch_that_misses_a_cluster_gives_it_no_gradient() -> None:
    embedding = EmbeddingConfig(kind="adaptive", cutoffs=(4, 9), divide=2).build(vocab_size=15, dim=12)
    embedding(torch.tensor([[0, 1], [10, 11]])).sum().backward()
    gradients = [table.grad for table in embedding.tables]
    assert bool(gradients[0].any())
    assert not bool(gradients[1].any())
    assert bool(gradients[2][1:3].any())
