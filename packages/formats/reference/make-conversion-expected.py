"""What llama.cpp's own converter makes of toy models, for model-to-gguf.test.ts.

Run by hand when a case is added; the result in expected/ is committed:

    pip install torch transformers safetensors gguf sentencepiece
    python make-conversion-expected.py PATH_OF_A_LLAMA_CPP_CHECKOUT

The converter is that of the pinned llama.cpp release (convert_hf_to_gguf.py, package `conversion`).
Tokenizers are left out: only tensors and the metadata of the architecture are compared. Weights are
not stored: both sides compute them from a formula (weight() here, `weight` in the test).
"""

import hashlib
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file

checkout = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(checkout))
sys.path.insert(0, str(checkout / "gguf-py"))

import gguf  # noqa: E402
from conversion import ModelBase, ModelType, get_model_class  # noqa: E402

HERE = pathlib.Path(__file__).parent

SHAPE = dict(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    hidden_act="silu",
)
LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
CASES = {
    "llama2": dict(architectures=["LlamaForCausalLM"], model_type="llama", num_key_value_heads=4),
    "llama3-tied": dict(
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        tie_word_embeddings=True,
        rope_scaling=LLAMA3,
    ),
    "llama-linear": dict(
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        rope_scaling=dict(rope_type="linear", factor=2.0),
    ),
    "qwen2-yarn": dict(
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64),
    ),
    # 48 is no multiple of a Q8_0 block: such matrices become float16.
    "llama-odd-width": dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=48, head_dim=12
    ),
    "mistral": dict(
        architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=32, head_dim=16
    ),
    "qwen2": dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", tie_word_embeddings=True),
    "qwen3": dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=32),
}
FORMS = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16", "Q8_0": "MOSTLY_Q8_0"}


def weight(name, shape):
    """Float32 numbers in [-0.5, 0.5) that depend on the name's length and the index only."""
    count = int(np.prod(shape))
    x = (np.arange(count, dtype=np.uint64) + np.uint64(len(name))) * np.uint64(2654435761)
    return ((x & np.uint64(0xFFFFFF)).astype(np.float64) * 2.0**-24 - 0.5).astype(np.float32).reshape(shape)


def tensors_of(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim", hidden // heads)
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = [config["vocab_size"], hidden]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for letter, rows in (("q", heads * size), ("k", keys * size), ("v", keys * size)):
            shapes[f"{prefix}self_attn.{letter}_proj.weight"] = [rows, hidden]
            if config["model_type"] == "qwen2":
                shapes[f"{prefix}self_attn.{letter}_proj.bias"] = [rows]
            if config["model_type"] == "qwen3" and letter != "v":
                shapes[f"{prefix}self_attn.{letter}_norm.weight"] = [size]
        shapes[f"{prefix}self_attn.o_proj.weight"] = [hidden, heads * size]
        shapes[f"{prefix}mlp.gate_proj.weight"] = [inner, hidden]
        shapes[f"{prefix}mlp.up_proj.weight"] = [inner, hidden]
        shapes[f"{prefix}mlp.down_proj.weight"] = [hidden, inner]
        shapes[f"{prefix}input_layernorm.weight"] = [hidden]
        shapes[f"{prefix}post_attention_layernorm.weight"] = [hidden]
    return {name: torch.from_numpy(weight(name, shape)) for name, shape in shapes.items()}


def convert(folder, form, out):
    hparams = ModelBase.load_hparams(folder, False)
    cls = get_model_class(hparams["architectures"][0])
    # Without a tokenizer.
    bare = type("Bare", (cls,), {"set_vocab": lambda self: None, "model_arch": cls.model_arch})
    bare(folder, gguf.LlamaFileType[FORMS[form]], out, eager=True).write()


def describe(path):
    reader = gguf.GGUFReader(path)
    tensors = {
        tensor.name: [
            tensor.tensor_type.name,
            [int(size) for size in reversed(tensor.shape)],
            hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16],
        ]
        for tensor in sorted(reader.tensors, key=lambda tensor: tensor.name)
    }
    arch = str(reader.fields["general.architecture"].contents())
    metadata = {
        key: field.contents()
        for key, field in sorted(reader.fields.items())
        if key.startswith(f"{arch}.") or key in ("general.architecture", "general.file_type")
    }
    return {"metadata": metadata, "tensors": tensors}


expected = {}
for name, changes in CASES.items():
    config = {**SHAPE, **changes}
    expected[name] = {"config": config, "forms": {}}
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root) / "model"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        save_file(tensors_of(config), folder / "model.safetensors")
        for form in FORMS:
            out = pathlib.Path(root) / f"{form}.gguf"
            convert(folder, form, out)
            expected[name]["forms"][form] = describe(out)
(HERE / "expected" / "conversion.json").write_text(json.dumps(expected, indent=1) + "\n")
