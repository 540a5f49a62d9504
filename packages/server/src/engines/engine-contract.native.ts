// The engine contract over the llama.cpp child and the miniature that ships with the repository.
import { fileURLToPath } from 'node:url';
import { describeEngineContract } from './engine-contract.fake.ts';
import { createEngineSupervisor } from './engine-supervisor.ts';

const rehearsal = new URL('../../../../models/rehearsal/rehearsal.gguf', import.meta.url);

describeEngineContract('llama.cpp', () => {
  const engines = createEngineSupervisor();
  return Promise.resolve({
    engine: engines.engine({ id: 'rehearsal', modelPath: fileURLToPath(rehearsal) }),
    long: {
      prompt: { kind: 'messages', messages: [{ role: 'user', content: 'Who are you?' }] },
      ignoreEos: true,
    },
    [Symbol.asyncDispose]: () => engines.close(),
  });
});
