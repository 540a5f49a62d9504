// The command line's parts that others use: the table of commands, for documents and tests.
export { commandTable } from './command-table.ts';
export type { CommandSpec } from './command-spec.ts';
