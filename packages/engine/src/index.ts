// What other packages need of the engine without loading native code: where the child's entry is, and
// how many threads it would take. The protocol itself is `engine-messages.ts` in contracts.
export { chooseThreads } from './threads.ts';

/** Entry of the engine child, for `fork(fileURLToPath(engineWorkerUrl))`. */
export const engineWorkerUrl = new URL('./worker.ts', import.meta.url);
