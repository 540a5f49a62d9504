// Ask a model on Corral with the official OpenAI client: only the base URL differs.
//   OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... node ask.ts MODEL QUESTION
import OpenAI from 'openai';

const [model = 'ferry', ...words] = process.argv.slice(2);
const content = words.length > 0 ? words.join(' ') : 'When does the first ferry leave?';

const stream = await new OpenAI().chat.completions.create({
  model,
  messages: [{ role: 'user', content }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');
