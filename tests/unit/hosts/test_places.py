import pytest
import torch

from foreign import foreign, tokens
from mnemon.config import Problem
from mnemon.hosts import attach
from mnemon.hosts.places import Places
from mnemon.hosts.support import FAMILIES

ABSOLUTE = sorted({kind for kind, row in FAMILIES.items() if row.places})


@pytest.mark.parametrize("name", ABSOLUTE)
def test_each_row_goes_on_after_what_it_sees(name: str) -> None:
    model = foreign(name)
    memory = attach(model, positions="original")
    memory.read(input_ids=tokens(1, 9)[0], document="one")
    memory.read(input_ids=tokens(1, 4)[0], document="one", namespace="other")
    seen: list[torch.Tensor] = []
    (embedding,) = (module for path, module in model.named_modules() if path.endswith(str(FAMILIES[name].places)))
    embedding.register_forward_hook(lambda module, args, found: seen.append(found))
    with torch.no_grad(), memory.using(["", "other", "none"]):
        model(tokens(3, 5))
    first = FAMILIES[name].offset
    places = torch.tensor([9, 4, 0])[:, None] + torch.arange(5) + first
    assert torch.equal(seen[0].expand(3, 5, -1), embedding.weight[places])


def test_embeddings_are_counted_like_tokens() -> None:
    model = foreign("gpt2")
    memory = attach(model, positions="original")
    memory.read(input_ids=tokens(1, 9)[0], document="one")
    ids = tokens(2, 5)
    with torch.no_grad():
        assert torch.equal(model(inputs_embeds=model.get_input_embeddings()(ids)).logits, model(ids).logits)


def test_a_host_without_further_places_says_so() -> None:
    model = foreign("opt")
    memory = attach(model, positions="original")
    memory.read(input_ids=tokens(1, 91)[0], document="one")
    model(tokens(1, 5))
    with pytest.raises(Problem, match=r'positions="original" needs place 96 after 91 entries, and this host has 96'):
        model(tokens(1, 6))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_other_policies_and_rotary_hosts_keep_their_places(name: str) -> None:
    model = foreign(name)
    attach(model, positions="original" if name == "llama" else "none")
    hooks = [hook for module in model.modules() for hook in module._forward_pre_hooks.values()]
    assert not any(isinstance(getattr(hook, "__self__", None), Places) for hook in hooks)
