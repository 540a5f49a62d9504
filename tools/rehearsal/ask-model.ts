// Asks a GGUF questions, one at a time, with the most likely token at each step, on llama.cpp: how the
// rehearsal model is judged. Not a way to serve; that is the engine's.
import { openNativeLibrary } from '../../packages/engine/src/llama-cpp/native-library.ts';
import type {
  NativeContext,
  NativeModel,
} from '../../packages/engine/src/llama-cpp/native-types.ts';

export interface Asker extends Disposable {
  ask(question: string): string;
}

const maxAnswerTokens = 64;
const contextTokens = 256;

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++)
    if ((logits[i] ?? -Infinity) > (logits[best] ?? -Infinity)) best = i;
  return best;
}

/** ChatML by hand: the template's text may hold control tokens, the question never. */
function promptOf({ vocabulary }: NativeModel, question: string): number[] {
  const template = (text: string): number[] =>
    vocabulary.tokenize(text, { special: true, spacePrefix: false });
  return [
    ...template('<|im_start|>user\n'),
    ...vocabulary.tokenize(question, { special: false, spacePrefix: false }),
    ...template('<|im_end|>\n<|im_start|>assistant\n'),
  ];
}

function feed(context: NativeContext, tokens: readonly number[], from: number): number {
  context.batch.clear();
  for (const [i, token] of tokens.entries())
    context.batch.add(token, from + i, 0, i === tokens.length - 1);
  if (context.decode() !== 'ok') throw new Error('llama.cpp could not decode the batch');
  return argmax(context.logits(0));
}

/** Opens the model at `path`. */
export function openAsker(path: string): Asker {
  const model = openNativeLibrary().loadModel(path);
  const context = model.createContext({
    sequenceTokens: contextTokens,
    sequences: 1,
    batchTokens: contextTokens,
    outputs: 1,
    threads: 1,
  });
  return {
    ask: (question) => {
      context.truncate(0, 0);
      const prompt = promptOf(model, question);
      const answer: number[] = [];
      let next = feed(context, prompt, 0);
      while (!model.vocabulary.endOfGeneration.has(next) && answer.length < maxAnswerTokens) {
        answer.push(next);
        next = feed(context, [next], prompt.length + answer.length - 1);
      }
      const bytes = answer.flatMap((token) => [...model.vocabulary.piece(token)]);
      return new TextDecoder().decode(Uint8Array.from(bytes)).trim();
    },
    [Symbol.dispose]: () => model.close(),
  };
}
