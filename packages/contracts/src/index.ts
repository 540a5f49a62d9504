// The vocabulary of Corral: everything that crosses a process, and nothing that runs.
export * from './api.ts';
export * from './audit-events.ts';
export * from './engine-messages.ts';
export * from './errors.ts';
export * from './exports.ts';
export * from './ids.ts';
export * from './openai.ts';
export * from './run-config.ts';
export * from './run-events.ts';
