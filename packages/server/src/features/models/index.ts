// Models feature: what other features and compose.ts may use.
export type { ModelsPort, ParityPort, TrainableBase, TrainedAdapter } from './models-port.ts';
