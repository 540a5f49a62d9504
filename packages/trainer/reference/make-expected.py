"""Expected numbers for the trainer's tests, from PyTorch, transformers and PEFT.

Run by hand when a case is added; the results in expected/ are committed:

    pip install torch transformers peft
    python make-expected.py

Weights are not stored: both sides compute them from a formula (noise() here, noise() in
src/models/reference.native.ts). Gradients are stored as fingerprints: their norm, and their
products with two noise vectors, which any wrong element would change.
"""

import json
import math
import pathlib
import sys

import numpy as np
import peft
import torch
import transformers

torch.set_num_threads(1)
torch.manual_seed(0)

HERE = pathlib.Path(__file__).parent
MASK = np.uint64(0xFFFFFFFF)


def fnv1a(name):
    """32-bit FNV-1a hash of an ASCII name."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def noise(name, count):
    """Float32 numbers in [-1, 1) that depend on the name and the index only."""
    x = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1) + np.uint64(fnv1a(name))) & MASK
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x7FEB352D)) & MASK
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(0x846CA68B)) & MASK
    x ^= x >> np.uint64(16)
    return ((x >> np.uint64(8)).astype(np.float64) * 2.0**-23 - 1).astype(np.float32)


def weight(name, shape):
    """Norms near 1, everything else of a size at which gradients neither vanish nor explode."""
    values = noise(name, math.prod(shape)).reshape(shape)
    if "norm" in name:
        return 1 + 0.25 * values
    return np.float32(0.2 if len(shape) == 1 or "lora_" in name else 0.15) * values


SHAPE = dict(
    vocab_size=256,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    rms_norm_eps=1e-5,
    max_position_embeddings=512,
)

LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)

LINEAR_ROPE = dict(rope_type="linear", rope_theta=10000.0, factor=4.0)


YARN_ROPE = dict(
    rope_type="yarn",
    rope_theta=10000.0,
    factor=4.0,
    original_max_position_embeddings=64,
)


def plain_rope(theta):
    return dict(rope_type="default", rope_theta=theta)


# The knobs of one architecture file, a case each; then the models people have, in their proportions.
CASES = {
    "llama-tied": (transformers.LlamaConfig, dict(tie_word_embeddings=True)),
    "llama-untied-rope-scaled": (
        transformers.LlamaConfig,
        dict(tie_word_embeddings=False, rope_parameters=LLAMA3_ROPE),
    ),
    "qwen2": (transformers.Qwen2Config, dict(tie_word_embeddings=True)),
    "qwen3": (transformers.Qwen3Config, dict(tie_word_embeddings=False)),
    "mistral-window": (
        transformers.MistralConfig,
        dict(tie_word_embeddings=False, sliding_window=24),
    ),
    "llama-linear-rope": (
        transformers.LlamaConfig,
        dict(tie_word_embeddings=False, rope_parameters=LINEAR_ROPE),
    ),
    # As Qwen2.5's cards give it; then every knob that yarn has.
    "qwen25-yarn": (transformers.Qwen2Config, dict(tie_word_embeddings=True, rope_parameters=YARN_ROPE)),
    "llama-yarn-knobs": (
        transformers.LlamaConfig,
        dict(
            tie_word_embeddings=False,
            rope_parameters={
                **YARN_ROPE,
                "beta_fast": 8.0,
                "beta_slow": 2.0,
                "attention_factor": 1.3,
                "truncate": False,
            },
        ),
    ),
    # 7B and 13B: as many key/value heads as heads.
    "llama2-7b": (transformers.LlamaConfig, dict(tie_word_embeddings=False, num_key_value_heads=4)),
    # 70B: eight heads share one key/value head.
    "llama2-70b": (
        transformers.LlamaConfig,
        dict(tie_word_embeddings=False, num_attention_heads=8, num_key_value_heads=1, head_dim=8),
    ),
    "llama32": (
        transformers.LlamaConfig,
        dict(tie_word_embeddings=True, rope_parameters={**LLAMA3_ROPE, "rope_theta": 500000.0, "factor": 32.0}),
    ),
    "tinyllama": (
        transformers.LlamaConfig,
        dict(tie_word_embeddings=False, num_attention_heads=8, num_key_value_heads=1, head_dim=8, intermediate_size=176),
    ),
    "smollm2": (
        transformers.LlamaConfig,
        dict(
            tie_word_embeddings=True,
            hidden_size=48,
            num_attention_heads=3,
            num_key_value_heads=1,
            rope_parameters=plain_rope(100000.0),
        ),
    ),
    "mistral": (
        transformers.MistralConfig,
        dict(tie_word_embeddings=False, sliding_window=None, rope_parameters=plain_rope(1000000.0)),
    ),
    "qwen25": (
        transformers.Qwen2Config,
        dict(tie_word_embeddings=False, rms_norm_eps=1e-6, rope_parameters=plain_rope(1000000.0)),
    ),
    # 0.6B: heads wider than the residual stream divided by their number.
    "qwen3-tied": (
        transformers.Qwen3Config,
        dict(tie_word_embeddings=True, head_dim=32, rope_parameters=plain_rope(1000000.0)),
    ),
}

# Lengths of the examples, packed in this order: two rows of 128 tokens.
ROWS = [[40, 51, 23], [97, 9]]
STEPS = 128
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = dict(r=4, lora_alpha=8, target_modules=LINEAR)
ADAM = dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
MAX_NORM = 1.0


def examples():
    """Token ids of each example; its first third is prompt and not scored."""
    for row, lengths in enumerate(ROWS):
        for index, length in enumerate(lengths):
            values = noise(f"example {row} {index}", length).astype(np.float64)
            yield ((values + 1) * 128).astype(np.int64), length // 3


def plain_name(name):
    """The name in a file: PEFT's wrappers gone from base weights, its adapter name from adapters."""
    if "lora_" in name:
        return name.replace(".default", "")
    return name.replace("base_model.model.", "").replace(".base_layer", "")


def load(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = weight(plain_name(name), tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))


def example_loss(model, ids, prompt):
    """Sum of the negative log-likelihoods of the scored tokens, and their number."""
    logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0]
    targets = torch.from_numpy(ids)[1:]
    nll = torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none")
    return nll[prompt - 1 :].sum(), len(targets) - (prompt - 1)


def batch_loss(model):
    """Total loss, number of scored tokens, and the loss of each example."""
    parts = [example_loss(model, ids, prompt) for ids, prompt in examples()]
    losses = [loss for loss, _ in parts]
    return sum(losses), sum(count for _, count in parts), [loss.item() for loss in losses]


def fingerprint(name, tensor):
    values = tensor.detach().double().numpy().reshape(-1)
    products = [values @ noise(f"{salt} {name}", values.size).astype(np.float64) for salt in "ab"]
    return [float(np.linalg.norm(values)), *map(float, products)]


def trainable(model):
    return [(plain_name(name), p) for name, p in model.named_parameters() if p.requires_grad]


def measure(model):
    """Loss, gradients of the mean loss, then three steps of AdamW with clipping."""
    total, count, losses = batch_loss(model)
    (total / count).backward()
    gradients = {name: fingerprint(name, p.grad) for name, p in trainable(model)}
    model.zero_grad()
    parameters = [p for _, p in trainable(model)]
    optimizer = torch.optim.AdamW(parameters, **ADAM)
    steps = []
    for _ in range(3):
        total, count, _ = batch_loss(model)
        (total / count).backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM).item()
        optimizer.step()
        optimizer.zero_grad()
        steps.append(dict(loss=total.item() / count, grad_norm=norm))
    return dict(loss_sums=losses, scored=count, gradients=gradients, steps=steps)


def main():
    versions = dict(torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__)
    # With names as arguments only those: `make-expected.py qwen25`.
    wanted = sys.argv[1:] or list(CASES)
    for case, (config_class, knobs) in ((name, CASES[name]) for name in wanted):
        config = config_class(**{**SHAPE, **knobs})
        config._attn_implementation = "eager"

        def fresh():
            model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
            load(model)
            return model

        ids, _ = next(examples())
        with torch.no_grad():
            logits = fresh()(input_ids=torch.from_numpy(ids)[None]).logits[0]
        lora = peft.get_peft_model(fresh(), peft.LoraConfig(task_type="CAUSAL_LM", **LORA))
        load(lora)
        result = dict(
            versions=versions,
            logits=[fingerprint(f"logits {i}", logits[i]) for i in range(len(ids))],
            full=measure(fresh()),
            lora=measure(lora),
        )
        path = HERE / "expected" / f"{case}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result) + "\n")
        print(case, result["lora"]["steps"], len(result["lora"]["gradients"]))


if __name__ == "__main__":
    main()
