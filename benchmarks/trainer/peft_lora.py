"""The measurement of ours.ts with PyTorch, transformers and PEFT: whole steps, from tokens to parameters.

python peft_lora.py CONFIG [--threads 1] [--seconds 15] [--dtype float32|bfloat16] [--rows 1] [--steps 512]

CONFIG is a config.json as text; compare.ts passes the shape that ours.ts runs. Prints one JSON line.
"""

import argparse
import json
import resource
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seconds", type=float, default=15)
parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
parser.add_argument("--rows", type=int, default=1)
parser.add_argument("--steps", type=int, default=512)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
dtype = getattr(torch, arguments.dtype)

fields = json.loads(arguments.config)
config = LlamaConfig(**{name: fields[name] for name in fields if name not in ("torch_dtype", "dtype")})
config._attn_implementation = "sdpa"
# Built in its own type: a base twice in memory would be held against PyTorch.
torch.set_default_dtype(dtype)
base = LlamaForCausalLM(config)
torch.set_default_dtype(torch.float32)
linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
lora = LoraConfig(r=16, lora_alpha=32, target_modules=linear, task_type="CAUSAL_LM")
model = get_peft_model(base, lora)
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=1e-4)
tokens = arguments.rows * arguments.steps
ids = torch.randint(0, min(config.vocab_size, 30000), (arguments.rows, arguments.steps))

times, cpu_times = [], []
end = time.time() + arguments.seconds
while len(times) < 3 or time.time() < end:
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
            "tokensPerSecond": tokens / min(times[1:]),
            "tokensPerCpuSecond": tokens / min(cpu_times[1:]),
            "steps": len(times) - 1,
            "peakMemoryBytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
    )
)
