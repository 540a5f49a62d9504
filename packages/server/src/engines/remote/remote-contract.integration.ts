// The engine contract over a server of OpenAI's contract, scripted.
import { describeEngineContract } from '../engine-contract.fake.ts';
import { RemoteEngine } from './remote-engine.ts';
import { remoteEngineSchema } from './remote-settings.ts';
import { startScriptedUpstream } from './scripted-upstream.fake.ts';

describeEngineContract('a remote server, scripted', async () => {
  const upstream = await startScriptedUpstream();
  const settings = { id: 'far', base_url: upstream.url, model: 'scripted' };
  const parsed = remoteEngineSchema.parse(settings);
  const engine = new RemoteEngine({ ...parsed, apiKey: null });
  return {
    engine,
    cannot: ['score', 'adapters'],
    tellsTokens: false,
    long: {
      prompt: { kind: 'messages', messages: [{ role: 'user', content: 'count 900 2' }] },
    },
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
});
