"""Hidden states of the tiny model under transformers, pooled and normalised: expected values for
engine-embeddings.native.ts. Needs torch, transformers and gguf.

    node tools/make-tiny-model.ts tiny.gguf
    python tests/native/make-embeddings.py tiny.gguf tests/native/fixtures/embeddings.json
"""
import json
import sys

import torch
from gguf import GGUFReader
from transformers import LlamaConfig, LlamaModel

PROMPTS = [[5, 6, 7], [200], [40 + 3 * i for i in range(40)], [104, 101, 108, 108, 111]]


def unpermute(weight, heads):
    """Llama's GGUF keeps the two halves of a rotation side by side; transformers keeps them apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def main(source, target):
    tensors = {t.name: torch.tensor(t.data.copy()) for t in GGUFReader(source).tensors}
    vocabulary, width = tensors["token_embd.weight"].shape
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=tensors["blk.0.ffn_up.weight"].shape[0],
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
        rope_theta=10000.0, max_position_embeddings=512)
    model = LlamaModel(config).float().eval()
    state = {"embed_tokens.weight": tensors["token_embd.weight"], "norm.weight": tensors["output_norm.weight"]}
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj"}
    for layer in range(2):
        ours, theirs = f"blk.{layer}", f"layers.{layer}"
        for name, other in names.items():
            state[f"{theirs}.{other}.weight"] = tensors[f"{ours}.{name}.weight"]
        state[f"{theirs}.self_attn.q_proj.weight"] = unpermute(tensors[f"{ours}.attn_q.weight"], 4)
        state[f"{theirs}.self_attn.k_proj.weight"] = unpermute(tensors[f"{ours}.attn_k.weight"], 2)
    model.load_state_dict(state)
    expected = []
    for tokens in PROMPTS:
        with torch.no_grad():
            rows = model(torch.tensor([tokens])).last_hidden_state[0].double()
        pooled = {"mean": rows.mean(0), "last": rows[-1], "cls": rows[0]}
        expected.append({
            "tokens": tokens,
            **{name: [round(x, 7) for x in (v / v.norm()).tolist()] for name, v in pooled.items()},
        })
    with open(target, "w") as file:
        json.dump(expected, file)
        file.write("\n")


main(*sys.argv[1:3])
