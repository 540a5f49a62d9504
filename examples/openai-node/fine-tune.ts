// The whole of OpenAI's fine-tuning flow on Corral: upload, start a job, follow it, ask the result.
//   OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... node fine-tune.ts BASE FILE
import { createReadStream } from 'node:fs';
import OpenAI from 'openai';

const [base = 'smollm2-135m-instruct', path = 'train.jsonl'] = process.argv.slice(2);
const openai = new OpenAI();

const file = await openai.files.create({ file: createReadStream(path), purpose: 'fine-tune' });
let job = await openai.fineTuning.jobs.create({
  model: base,
  training_file: file.id,
  suffix: 'example',
  method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 3 } } },
});
console.log(job.id);

const ended = new Set(['succeeded', 'failed', 'cancelled']);
while (!ended.has(job.status)) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  job = await openai.fineTuning.jobs.retrieve(job.id);
}
console.log(job.status, job.fine_tuned_model ?? job.error?.message);
