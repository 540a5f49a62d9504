// Public surface of the server: its settings, for documentation and the command line.
export { settings, type Setting } from './config.ts';
