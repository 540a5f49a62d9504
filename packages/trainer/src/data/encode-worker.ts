// Thread entry of row-encoder.ts: opens the tokenizer once, then answers rows with examples. The arrays of
// an answer are handed over, not copied.
import { parentPort, workerData } from 'node:worker_threads';
import { toErrorPayload } from '@corral/contracts';
import { type RowsToEncode, encodeRows } from './encode-rows.ts';
import { type EncoderOptions, openEncoder } from './open-encoder.ts';
import type { EncodeAnswer } from './row-encoder.ts';

const port = parentPort;
if (!port) throw new Error('this file runs as a thread');
const opening = openEncoder(workerData as EncoderOptions);

port.on('message', (request: RowsToEncode) => {
  void opening
    .then((encoder): EncodeAnswer => ({ result: encodeRows(request, encoder) }))
    .catch((error: unknown): EncodeAnswer => ({ error: toErrorPayload(error) }))
    .then((answer) => {
      const arrays = 'result' in answer ? answer.result.examples : null;
      port.postMessage(answer, arrays ? [arrays.bytes.buffer, arrays.entries.buffer] : []);
    });
});
