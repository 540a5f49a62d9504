// All commands, in the order a newcomer meets them. `--help`, the guide and the parser come from here.
import type { CommandSpec } from './command-spec.ts';
import { chatCommand } from './commands/chat.ts';
import { dataCommand } from './commands/data.ts';
import { deployCommand } from './commands/deploy.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evidenceCommand } from './commands/evidence.ts';
import { exportCommand } from './commands/export.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { modelsCommand } from './commands/models.ts';
import { planCommand } from './commands/plan.ts';
import { quickstartCommand } from './commands/quickstart.ts';
import { serveCommand } from './commands/serve.ts';
import { statusCommand } from './commands/status.ts';
import { trainCommand } from './commands/train.ts';
import { tuneCommand } from './commands/tune.ts';

export const commandTable: readonly CommandSpec[] = [
  quickstartCommand,
  serveCommand,
  statusCommand,
  doctorCommand,
  modelsCommand,
  dataCommand,
  planCommand,
  tuneCommand,
  jobsCommand,
  trainCommand,
  deployCommand,
  chatCommand,
  exportCommand,
  evidenceCommand,
  keysCommand,
];
