"""What the samplers of transformers leave of random rows of logits, and the penalties by OpenAI's formula:
expected values for src/sampling/sampling-reference.test.ts. Needs torch and transformers.

    python packages/engine/reference/make-sampling-expected.py > packages/engine/reference/fixtures/sampling.json
"""
import json
import sys

import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

ROWS = 4
WIDTH = 96
CASES = [
    {"top_k": 1}, {"top_k": 7}, {"top_k": 40},
    {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.95},
    {"min_p": 0.05}, {"min_p": 0.3},
    {"typical_p": 0.2}, {"typical_p": 0.6}, {"typical_p": 0.95},
    {"top_k": 20, "top_p": 0.8}, {"top_k": 30, "min_p": 0.1}, {"top_p": 0.9, "min_p": 0.02},
    {"top_k": 25, "typical_p": 0.7}, {"typical_p": 0.8, "top_p": 0.7}, {"typical_p": 0.9, "min_p": 0.05},
    {"top_k": 50, "typical_p": 0.9, "top_p": 0.9, "min_p": 0.03},
]
PENALTIES = [
    {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8},
    {"frequency_penalty": 0.7}, {"presence_penalty": -0.9}, {"frequency_penalty": -0.4, "presence_penalty": 1.1},
    {"repetition_penalty": 1.2, "frequency_penalty": 0.5, "presence_penalty": 0.25},
    {"logit_bias": [[3, 5.0], [8, -100.0]], "repetition_penalty": 1.5},
]


def warp(row, case):
    """In llama.cpp's order."""
    if "top_k" in case:
        row = TopKLogitsWarper(case["top_k"])(None, row)
    if "typical_p" in case:
        row = TypicalLogitsWarper(mass=case["typical_p"])(None, row)
    if "top_p" in case:
        row = TopPLogitsWarper(case["top_p"])(None, row)
    if "min_p" in case:
        row = MinPLogitsWarper(case["min_p"])(None, row)
    return row


def penalise(row, case, prompt, generated):
    row = row.clone()
    for token, bias in case.get("logit_bias", []):
        row[0, token] += bias
    if "repetition_penalty" in case:
        seen = torch.tensor([prompt + generated])
        row = RepetitionPenaltyLogitsProcessor(case["repetition_penalty"])(seen, row)
    for token in set(generated):
        row[0, token] -= generated.count(token) * case.get("frequency_penalty", 0)
        row[0, token] -= case.get("presence_penalty", 0)
    return row


def main():
    torch.manual_seed(7)
    rows = [(torch.randn(1, WIDTH) * scale).float() for scale in (1.0, 2.0, 4.0, 0.3)][:ROWS]
    prompt, generated = [1, 2, 2, 3, 90], [2, 5, 5, 5, 17, 3]
    out = {"rows": [row[0].tolist() for row in rows], "prompt": prompt, "generated": generated, "truncations": [], "penalties": []}
    for case in CASES:
        expected = []
        for row in rows:
            probs = torch.softmax(warp(row, case).double(), -1)[0]
            expected.append([[i, round(p, 9)] for i, p in enumerate(probs.tolist()) if p > 0])
        out["truncations"].append({"settings": case, "expected": expected})
    for case in PENALTIES:
        expected = [[round(x, 6) for x in penalise(row, case, prompt, generated)[0].tolist()] for row in rows]
        out["penalties"].append({"settings": case, "expected": expected})
    json.dump(out, sys.stdout, separators=(",", ":"))
    print()


main()
