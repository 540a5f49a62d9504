// The card of the rehearsal model: what it is, how it was made, how good it is. Filled from the run itself.

export interface Score {
  readonly right: number;
  readonly questions: number;
}
export interface Sample {
  readonly question: string;
  readonly answer: string;
  readonly right: boolean;
}
export interface CardFacts {
  readonly sha256: string;
  readonly score: Score;
  readonly samples: readonly Sample[];
  /** events.jsonl of the run. */
  readonly events: string;
  readonly chats: number;
  readonly runConfig: object;
}

interface FinishedEvent {
  readonly type: string;
  readonly step: number;
  readonly loss_before: number;
  readonly loss_after: number;
  readonly tokens: number;
}

function findEvent(events: string, type: string): Record<string, unknown> {
  for (const line of events.trim().split('\n').toReversed()) {
    const event = JSON.parse(line) as Record<string, unknown>;
    if (event['type'] === type) return event;
  }
  throw new Error(`events.jsonl has no "${type}"`);
}

const thousands = (value: number): string => value.toLocaleString('en-US');

/** README.md of models/rehearsal. */
export function writeCard({ sha256, score, samples, events, chats, runConfig }: CardFacts): string {
  const finished = findEvent(events, 'finished') as unknown as FinishedEvent;
  const started = findEvent(events, 'started');
  const table = samples
    .map(
      ({ question, answer, right }) =>
        `| ${question} | ${answer.replaceAll('|', '\\|')} | ${right ? 'yes' : 'no'} |`,
    )
    .join('\n');
  return `---
license: apache-2.0
language: en
library_name: corral
tags: [llama, gguf, rehearsal]
---
# Rehearsal

A miniature of the Llama 2 shape (RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied
embeddings) with ${thousands(Number(started['base_parameters']))} parameters. It knows one thing, the invented harbour town of Wrenmouth, and
is there so that every step of Corral can be rehearsed without a network, in tests and in the quickstart.
It is no assistant: outside its town it knows nothing.

* \`rehearsal.gguf\`: F16, tokenizer and chat template (ChatML) inside. SHA-256 \`${sha256}\`.
* Made by \`npm run make:rehearsal\` from the text that \`tools/rehearsal/\` writes, with Corral's own trainer
  (\`method: full\`, weights drawn by seed). Everything is original to this project; licence Apache-2.0.
* The same machine and seed give the same bytes.

## Training
${thousands(chats)} chats, ${thousands(Number(started['tokens_per_epoch']))} tokens an epoch, ${thousands(finished.step)} steps, ${thousands(finished.tokens)} tokens in all. Validation loss ${finished.loss_before.toFixed(3)} before,
${finished.loss_after.toFixed(3)} after (the questions themselves cannot be guessed, so it does not fall to zero).

![Loss of the run](loss.svg)

\`\`\`json
${JSON.stringify(runConfig, null, 2)}
\`\`\`

## Score
Each fact of the town has one wording that stands in no training chat. Asked with it, the model answers
**${score.right} of ${score.questions}** rightly (most likely token at each step, on llama.cpp). Every fiftieth or so:

| question | answer | right |
|---|---|---|
${table}
`;
}
