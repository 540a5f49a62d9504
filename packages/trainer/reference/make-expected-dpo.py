"""Expected numbers for DPO, from PyTorch, transformers and PEFT, and TRL's own sigmoid loss beside them.

Run by hand when a case is added; the result, expected/dpo.json, is committed:

    pip install torch transformers peft trl datasets
    python make-expected-dpo.py

Weights, examples and fingerprints as in make-expected.py. The loss is written out here (Rafailov et al.
2023, equation 7) and checked against DPOTrainer's, which gets the same pairs as token ids.
"""

import importlib.util
import json
import pathlib
import tempfile

import numpy as np
import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("make_expected", HERE / "make-expected.py")
base = importlib.util.module_from_spec(spec)
spec.loader.exec_module(base)

BETA = 0.1
# Tokens of prompt, chosen and rejected answer.
PAIRS = [(20, 11, 7), (5, 30, 41), (33, 4, 4), (12, 3, 25)]


def ids(name, length):
    values = base.noise(name, length).astype(np.float64)
    return ((values + 1) * 128).astype(np.int64)


def pairs():
    for index, (prompt, chosen, rejected) in enumerate(PAIRS):
        before = ids(f"pair {index} prompt", prompt)
        for side, length in (("chosen", chosen), ("rejected", rejected)):
            yield np.concatenate([before, ids(f"pair {index} {side}", length)]), prompt


def logprobs(model):
    """Log-probability of each answer, chosen and rejected in turn."""
    return [-base.example_loss(model, tokens, prompt)[0] for tokens, prompt in pairs()]


LORA = peft.LoraConfig(task_type="CAUSAL_LM", **base.LORA)


def without_adapter(case):
    config_class, knobs = base.CASES[case]
    config = config_class(**{**base.SHAPE, **knobs})
    config._attn_implementation = "eager"
    return transformers.AutoModelForCausalLM.from_config(config).float().eval()


def fresh(case):
    model = peft.get_peft_model(without_adapter(case), LORA)
    base.load(model)
    return model


def by_formula(model):
    with torch.no_grad(), model.disable_adapter():
        reference = logprobs(model)
    policy = logprobs(model)
    ratios = [p - r for p, r in zip(policy, reference)]
    margins = torch.stack([BETA * (c - r) for c, r in zip(ratios[::2], ratios[1::2])])
    return reference, margins, -torch.nn.functional.logsigmoid(margins)


def by_trl(case):
    """Mean loss of the same pairs by TRL's DPOTrainer.

    It is given the base and wraps it itself: of a model that has an adapter it would copy the adapter as
    its reference, where ours is the base.
    """
    import datasets
    import trl

    rows = []
    for (chosen, prompt), (rejected, _) in zip(*[iter(pairs())] * 2):
        rows.append(
            dict(
                prompt_ids=chosen[:prompt].tolist(),
                chosen_ids=chosen[prompt:].tolist(),
                rejected_ids=rejected[prompt:].tolist(),
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.DPOConfig(
            output_dir=folder, beta=BETA, report_to=[], use_cpu=True, bf16=False, disable_dropout=False,
            gradient_checkpointing=False,
        )
        words = {chr(0x100 + i): i for i in range(256)}
        from tokenizers import Tokenizer, models

        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(words, unk_token=chr(0x100))),
            pad_token=chr(0x100), eos_token=chr(0x101), unk_token=chr(0x100),
        )
        text = [dict(prompt="a", chosen="b", rejected="c")]
        trainer = trl.DPOTrainer(
            model=without_adapter(case), peft_config=LORA, args=arguments, train_dataset=datasets.Dataset.from_list(text),
            processing_class=tokenizer,
        )
        base.load(trainer.model)
        batch = trainer.data_collator(rows)
        return trainer.compute_loss(trainer.model.eval(), batch).item()


def main():
    cases = {}
    for case in ("llama-tied", "qwen3"):
        model = fresh(case)
        reference, margins, losses = by_formula(model)
        losses.mean().backward()
        gradients = {name: base.fingerprint(name, p.grad) for name, p in base.trainable(model)}
        model.zero_grad()
        trl_loss = by_trl(case)
        print(case, losses.mean().item(), trl_loss)
        assert abs(trl_loss / losses.mean().item() - 1) < 1e-5
        cases[case] = dict(
            reference=[value.item() for value in reference],
            margins=margins.tolist(),
            losses=losses.tolist(),
            gradients=gradients,
        )
    import trl

    versions = dict(
        torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__, trl=trl.__version__
    )
    result = dict(versions=versions, beta=BETA, pairs=PAIRS, cases=cases)
    (HERE / "expected" / "dpo.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
