// Makes models/rehearsal/ from nothing but this folder: text, tokenizer, shape, a run of our own trainer in
// full from random weights, and the card with its score. Same seed, same machine: same bytes.
//   node tools/rehearsal/make-rehearsal.ts [--work DIR]
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openAsker } from './ask-model.ts';
import { asText, makeChats, makeTestQuestions } from './corpus.ts';
import { writeCard, type Sample, type Score } from './model-card.ts';
import { writeModelFolder } from './model-folder.ts';

const seed = 7;
const root = fileURLToPath(new URL('../../', import.meta.url));
const shipped = join(root, 'models', 'rehearsal');
const worker = join(root, 'packages', 'trainer', 'src', 'worker.ts');

/** The run, in the words of its configuration file. Threads are fixed: their number changes the sums. */
const runConfig = {
  model: 'shape',
  method: 'full',
  data: { train: 'chats.jsonl', validation: 0.01, context_length: 512, loss_on: 'all' },
  train: {
    epochs: 1,
    batch_size: 12,
    learning_rate: 2e-3,
    schedule: 'cosine',
    warmup_ratio: 0.05,
    weight_decay: 0.05,
    seed,
  },
  checkpoint: { every_steps: 200, keep: 1 },
  runtime: { threads: 2 },
};

/** Runs the trainer; a run that was interrupted goes on where it was. */
async function train(folder: string): Promise<void> {
  const args = [worker, 'train', '--config', 'run.json', '--output', 'out'];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as Record<string, unknown>;
      if (event['type'] === 'step' && Number(event['step']) % 20 === 0)
        console.error(
          `step ${String(event['step'])}: loss ${Number(event['loss']).toFixed(3)}, ${Math.round(Number(event['seconds_left']))} s left`,
        );
      if (event['type'] === 'failed') console.error(line);
    }
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  if (code !== 0) throw new Error(`the trainer ended with exit code ${code}`);
}

/** Every held-out question, answered; a right answer contains what is accepted. */
function judge(path: string): { score: Score; samples: Sample[] } {
  using asker = openAsker(path);
  const answered = makeTestQuestions().map(({ question, accept }) => {
    const answer = asker.ask(question);
    const right = accept.some((text) => answer.toLowerCase().includes(text));
    return { question, answer, right };
  });
  const right = answered.filter((sample) => sample.right).length;
  const step = Math.floor(answered.length / 16);
  return {
    score: { right, questions: answered.length },
    samples: answered.filter((_, i) => i % step === 0),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { work: { type: 'string' } } });
  const work = values.work ?? join(shipped, 'work');
  await mkdir(join(work, 'shape'), { recursive: true });
  const chats = makeChats(seed);
  await writeFile(
    join(work, 'chats.jsonl'),
    `${chats.map((chat) => JSON.stringify(chat)).join('\n')}\n`,
  );
  await writeFile(join(work, 'text.txt'), `${asText(chats)}\n`);
  await writeModelFolder(join(work, 'shape'), asText(chats));
  await writeFile(join(work, 'run.json'), JSON.stringify(runConfig, null, 2));
  await train(work);
  const model = join(work, 'out', 'model-f16.gguf');
  const { score, samples } = judge(model);
  console.error(`held-out questions answered rightly: ${score.right} of ${score.questions}`);
  await copyFile(model, join(shipped, 'rehearsal.gguf'));
  await copyFile(join(work, 'out', 'loss.svg'), join(shipped, 'loss.svg'));
  const sha256 = createHash('sha256')
    .update(await readFile(model))
    .digest('hex');
  const events = await readFile(join(work, 'out', 'events.jsonl'), 'utf8');
  await writeFile(
    join(shipped, 'README.md'),
    writeCard({ sha256, score, samples, events, chats: chats.length, runConfig }),
  );
  if (values.work === undefined) await rm(work, { recursive: true });
}

await main();
