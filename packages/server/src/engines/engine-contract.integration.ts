// The engine contract over the scripted child: what the other tests of the server stand on is true.
import { describeEngineContract } from './engine-contract.fake.ts';
import { createEngineSupervisor } from './engine-supervisor.ts';
import { fakeEngineUrl } from './fake-engine.fake.ts';

describeEngineContract('a scripted child', () => {
  const engines = createEngineSupervisor({ workerUrl: fakeEngineUrl });
  return Promise.resolve({
    engine: engines.engine({ id: 'tiny', modelPath: '/m/tiny.gguf' }),
    long: {
      prompt: { kind: 'messages', messages: [{ role: 'user', content: 'count 900 2' }] },
    },
    [Symbol.asyncDispose]: () => engines.close(),
  });
});
