"""Merged weights and their logits by PEFT's merge_and_unload, for export/merge.test.ts and export/export.native.ts.

Run by hand when a case is added; the result in expected/merge.json is committed:

    pip install torch transformers peft
    python make-expected-merge.py

Weights of base and adapter follow from the formula of make-expected.py, which also explains fingerprints.
"""

import importlib.util
import json
import pathlib

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("make_expected", HERE / "make-expected.py")
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

LORA = dict(r=4, lora_alpha=8, target_modules=shared.LINEAR)
CASES = {
    "llama-tied": dict(LORA),
    # Some matrices only, another rule of scaling, a rank that is no multiple of four.
    "qwen2": dict(r=6, lora_alpha=12, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
}


def measure(case, lora):
    config_class, knobs = shared.CASES[case]
    config = config_class(**{**shared.SHAPE, **knobs})
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **lora))
    shared.load(wrapped)
    wrapped.eval()
    merged = wrapped.merge_and_unload()
    ids, _ = next(shared.examples())
    with torch.no_grad():
        logits = merged(input_ids=torch.from_numpy(ids)[None]).logits[0]
    weights = {
        name: shared.fingerprint(name, values)
        for name, values in merged.named_parameters()
        if name.startswith("model.layers.")
    }
    return dict(
        config=json.loads(config.to_json_string()),
        weights=weights,
        logits=[shared.fingerprint(f"logits {i}", logits[i]) for i in range(len(ids))],
    )


def main():
    versions = dict(torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__)
    cases = {case: dict(lora=lora, **measure(case, lora)) for case, lora in CASES.items()}
    (HERE / "expected" / "merge.json").write_text(json.dumps(dict(versions=versions, cases=cases), indent=1) + "\n")


if __name__ == "__main__":
    main()
