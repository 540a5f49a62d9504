"""Loads a trained adapter with PEFT on its base in transformers and replays golden.json.

    python check-peft.py OUTPUT_FOLDER BASE          BASE: a Hugging Face folder or a GGUF file

Needs torch, transformers, peft (and gguf for a GGUF base). Exit code 1 when a key is missing, a greedy token
differs or a log-probability is off by more than 1e-3.
"""
import json
import pathlib
import sys

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

output, base = (pathlib.Path(argument) for argument in sys.argv[1:3])
if base.is_dir():
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
else:
    model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.float32)
model = PeftModel.from_pretrained(model, output).eval()

with safe_open(output / "adapter_model.safetensors", "pt") as file:
    saved = set(file.keys())
loaded = {
    name.replace(".default.weight", ".weight")
    for name, _ in model.named_parameters()
    if "lora_" in name
}
print(f"adapter tensors: {len(saved)} saved, {len(loaded)} in the model, {len(saved ^ loaded)} differ")
failed = saved != loaded

worst = 0.0
positions = wrong = 0
for transcript in json.loads((output / "golden.json").read_text())["transcripts"]:
    prompt, greedy = transcript["prompt_tokens"], transcript["greedy_tokens"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + greedy])).logits[0].double()
    logprobs = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
    for row, token, top in zip(logprobs, greedy, transcript["top_logprobs"]):
        positions += 1
        wrong += int(row.argmax()) != token
        worst = max([worst, *(abs(float(row[id]) - logprob) for id, logprob in top)])
print(f"{positions} golden positions: {wrong} greedy tokens differ, largest log-probability error {worst:.2e}")
sys.exit(1 if failed or wrong or worst > 1e-3 else 0)
