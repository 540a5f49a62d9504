// All commands, in the order a newcomer meets them. `--help`, the guide and the parser come from here.
import type { CommandSpec } from './command-spec.ts';
import { modelsCommand } from './commands/models.ts';
import { statusCommand } from './commands/status.ts';

export const commandTable: readonly CommandSpec[] = [statusCommand, modelsCommand];
