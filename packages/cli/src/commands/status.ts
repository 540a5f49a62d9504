// `corral status`: what runs on this machine.
import type { ServerStatus } from '@corral/contracts';
import type { CommandSpec } from '../command-spec.ts';
import { connect, show } from '../context.ts';
import { formatBytes, formatFields, formatSeconds, formatTable } from '../format.ts';

type EngineOnShow = ServerStatus['engines'][number];

function describeMemory({
  limit_bytes,
  reserved_bytes,
  waiting,
}: NonNullable<ServerStatus['serving']>) {
  const queue = waiting === 0 ? '' : `; ${waiting} requests wait for room`;
  return `${formatBytes(reserved_bytes)} of ${formatBytes(limit_bytes)} of memory${queue}`;
}

/** "starting 40 %" while it loads. */
function stateOf({ state, loading }: EngineOnShow): string {
  if (loading === undefined || loading.total_bytes === 0) return state;
  return `${state} ${Math.floor((100 * loading.done_bytes) / loading.total_bytes)} %`;
}

const adaptersOf = (engine: EngineOnShow) => {
  const { adapters, max_adapters: limit, loaded_adapters: loaded, adapter_memory: memory } = engine;
  const each = loaded?.reduce((sum, adapter) => sum + adapter.bytes, 0) ?? 0;
  const bytes = memory === undefined ? each : memory.resident_bytes + memory.stack_bytes;
  const size = bytes === 0 ? '' : ` (${formatBytes(bytes)})`;
  return limit === undefined ? String(adapters) : `${adapters} of ${limit}${size}`;
};

/** What else there is to know of one engine, in few words. */
function noteOn(engine: EngineOnShow): string {
  const { prefix_cache: cache, speculation, adapter_batching: batching, upstream } = engine;
  const notes = [
    engine.pinned === true ? 'pinned' : '',
    batching === undefined ? '' : `adapters ${batching}`,
    cache === undefined
      ? ''
      : `prefixes ${cache.hits} of ${cache.hits + cache.misses} found, ${formatBytes(cache.bytes)}`,
    speculation === undefined || speculation.drafted === 0
      ? ''
      : `guessed ${speculation.accepted} of ${speculation.drafted} tokens`,
    upstream === undefined ? '' : `${upstream.model} at ${upstream.url}`,
    engine.problem ?? '',
  ];
  return notes.filter((note) => note !== '').join('; ');
}

export const statusCommand: CommandSpec = {
  name: 'status',
  summary: 'show what runs: server, database, engines, jobs',
  examples: [
    { command: 'corral status', says: 'is the server up, and what does it do' },
    { command: 'corral status --json', says: 'the same for a script' },
  ],
  failure: 'The status could not be read.',
  async run(context) {
    const client = await connect(context);
    const status = await client.status();
    const { bold, dim, green, yellow } = context.io.colors;
    const { engines, jobs, database, serving } = status;
    // Others get no word about the machine.
    const isOperator = status.pid !== 0;
    const fields = formatFields(
      [
        ['server', `${client.baseUrl}  ${status.ready ? green('ready') : yellow('starting')}`],
        ['version', isOperator ? `${status.version}, process ${status.pid}` : status.version],
        ['up for', formatSeconds(status.uptime_seconds)],
        ['jobs', `${jobs.running} running, ${jobs.queued} queued`],
        ...(isOperator
          ? ([
              ['home', status.home],
              ['database', `${database.kind} ${database.version}`],
              ['evidence', `${status.evidence.size} entries`],
              ...(serving === undefined ? [] : ([['models', describeMemory(serving)]] as const)),
            ] as const)
          : []),
      ],
      dim,
    );
    const table =
      engines.length === 0
        ? dim('no engine is loaded; one starts with the first request')
        : formatTable(
            ['ENGINE', 'STATE', 'ADAPTERS', 'ACTIVE', 'QUEUED', 'MEMORY', ''],
            engines.map((engine) => [
              engine.base,
              stateOf(engine),
              adaptersOf(engine),
              engine.active,
              engine.queued,
              engine.kind === 'remote' ? '' : formatBytes(engine.memory_bytes),
              noteOn(engine),
            ]),
            bold,
          );
    show(context, status, isOperator ? `${fields}\n\n${table}` : fields);
  },
};
