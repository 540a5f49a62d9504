"""The measurement of ours.ts with PyTorch, transformers and PEFT.

python peft_lora.py THREADS SECONDS [float32|bfloat16]
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

threads, seconds = int(sys.argv[1]), float(sys.argv[2])
dtype = getattr(torch, sys.argv[3] if len(sys.argv) > 3 else "float32")
torch.set_num_threads(threads)
torch.manual_seed(0)

# huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct config.json
config = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
    max_position_embeddings=8192,
)
config._attn_implementation = "sdpa"
linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
lora = LoraConfig(r=16, lora_alpha=32, target_modules=linear, task_type="CAUSAL_LM")
model = get_peft_model(LlamaForCausalLM(config).to(dtype), lora)
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=1e-4)
ids = torch.randint(0, 30000, (1, 512))

times, cpu_times = [], []
end = time.time() + seconds
while len(times) < 4 or time.time() < end:
    start, cpu_start = time.time(), time.process_time()
    model(input_ids=ids, labels=ids).loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.time() - start)
    cpu_times.append(time.process_time() - cpu_start)

print(
    json.dumps(
        {
            "tokensPerSecond": 512 / min(times[1:]),
            "tokensPerCpuSecond": 512 / min(cpu_times[1:]),
            "steps": len(times) - 1,
            "peakMemoryBytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
    )
)
