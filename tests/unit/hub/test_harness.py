import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

import tiny
from mnemon.data.byte_tokens import Bytes
from mnemon.hub import MnemonForCausalLM, fast_tokenizer

ASKED = [("The ferry to", " Oldhaven"), ("A", " letter arrived three years late"), ("In", " Karsten")]


def test_the_harness_of_lm_eval_scores_and_writes_as_the_model_does() -> None:
    own = tiny.model("memorizing").build(seed=3).eval()
    model = MnemonForCausalLM.of(own, pad_token_id=Bytes.vocab_size)
    harness = HFLM(pretrained=model, tokenizer=fast_tokenizer(Bytes()), batch_size=2, device="cpu", max_length=64)
    found = harness.loglikelihood(
        [Instance("loglikelihood", {}, pair, at) for at, pair in enumerate(ASKED)], disable_tqdm=True
    )
    for (likelihood, _), (context, rest) in zip(found, ASKED, strict=True):
        ids = torch.tensor([[Bytes.start, *Bytes().encode(context + rest).tolist()]])
        nats = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        assert abs(likelihood - nats[-len(rest) :].sum().item()) < 1e-3
    settings = {"until": ["\n"], "max_gen_toks": 4, "do_sample": False}
    written = harness.generate_until(
        [Instance("generate_until", {}, (context, settings), at) for at, (context, _) in enumerate(ASKED)],
        disable_tqdm=True,
    )
    for text, (context, _) in zip(written, ASKED, strict=True):
        ids = torch.tensor([[Bytes.start, *Bytes().encode(context).tolist()]])
        alone = model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=Bytes.start)[0, ids.shape[1] :]
        assert text == Bytes().decode(alone.tolist()).split("\n")[0]
