"""Ask a model on Corral with the official OpenAI client: only the base URL differs.

OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... python ask.py MODEL QUESTION
"""

import sys

from openai import OpenAI

model = sys.argv[1] if len(sys.argv) > 1 else "ferry"
question = " ".join(sys.argv[2:]) or "When does the first ferry leave?"

stream = OpenAI().chat.completions.create(
    model=model, messages=[{"role": "user", "content": question}], stream=True
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
