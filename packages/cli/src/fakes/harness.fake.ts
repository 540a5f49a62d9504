// Runs commands of the table in this process with a terminal that keeps what is written, against a
// CORRAL_HOME of its own.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pc from 'picocolors';
import { createChildren } from '../children.ts';
import { commandTable } from '../command-table.ts';
import type { Io } from '../io.ts';
import { runProgram } from '../program.ts';
import { fakeKey, startFakeServer, type FakeServer } from './server.fake.ts';
import type { FakeServerOptions } from './state.fake.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A terminal that is none: no colours, no live lines, everything kept. */
export function keepingIo(): { io: Io; kept: { out: string; err: string } } {
  const kept = { out: '', err: '' };
  const io: Io = {
    out: (text) => void (kept.out += text),
    err: (text) => void (kept.err += text),
    live: false,
    inputInteractive: false,
    columns: () => 80,
    colors: pc.createColors(false),
  };
  return { io, kept };
}

export interface RunOptions {
  readonly home: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Runs one command line, without the word `corral`. */
export async function runCorral(argv: readonly string[], options: RunOptions): Promise<Ran> {
  const { io, kept } = keepingIo();
  await using children = createChildren();
  const code = await runProgram(argv, {
    commands: commandTable,
    version: '0.0.0-test',
    context: {
      io,
      env: { CORRAL_HOME: options.home, ...options.env },
      home: options.home,
      signal: options.signal ?? new AbortController().signal,
      children,
    },
  });
  return { code, ...kept };
}

export interface Site {
  readonly home: string;
  readonly server: FakeServer;
  run(...argv: string[]): Promise<Ran>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A home with credentials of a fake server that runs. */
export async function startSite(options: Omit<FakeServerOptions, 'home'> = {}): Promise<Site> {
  const home = await mkdtemp(join(tmpdir(), 'corral-cli-'));
  const server = await startFakeServer({ ...options, home });
  const credentials = { base_url: server.url, api_key: fakeKey };
  await writeFile(join(home, 'credentials.json'), JSON.stringify(credentials));
  return {
    home,
    server,
    run: (...argv) => runCorral(argv, { home }),
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
