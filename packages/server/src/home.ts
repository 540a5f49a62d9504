// The layout of CORRAL_HOME: names only.
import { join } from 'node:path';

export interface HomePaths {
  readonly root: string;
  readonly models: string;
  readonly artifacts: string;
  readonly postgres: string;
  readonly logs: string;
  /** Compiled code of engine children: may be removed at any time. */
  readonly codeCache: string;
  /** Keys and values of prompts, a folder for each base; only where settings ask for it. */
  readonly prefixCache: string;
  /** One folder a training run: config, output, checkpoints. */
  readonly runs: string;
  readonly credentials: string;
  readonly lock: string;
  /** Ed25519 private key of the evidence log. */
  readonly evidenceKey: string;
}

export const homePaths = (root: string): HomePaths => ({
  root,
  models: join(root, 'models'),
  artifacts: join(root, 'artifacts'),
  postgres: join(root, 'postgres'),
  logs: join(root, 'logs'),
  codeCache: join(root, 'cache', 'code'),
  prefixCache: join(root, 'cache', 'prefixes'),
  runs: join(root, 'runs'),
  credentials: join(root, 'credentials.json'),
  lock: join(root, 'server.lock'),
  evidenceKey: join(root, 'evidence.key'),
});
