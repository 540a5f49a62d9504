// Typed client of a Corral server. Runs in Node and in browsers.
export {
  createCorralClient,
  type CorralClient,
  type Page,
  type PageOptions,
} from './corral-client.ts';
export { CorralApiError, readErrorBody, serverRoot, type ClientOptions } from './transport.ts';
export {
  isFinalJobStatus,
  jobError,
  jobEventsSince,
  waitForOperation,
  watchJob,
  type JobUpdate,
  type WaitOptions,
} from './watch.ts';
