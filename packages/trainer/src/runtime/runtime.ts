// The only file that runs ONNX models. A session takes and fills arrays that the caller owns: weights go
// in without a copy, so one session serves all layers. Measured with onnxruntime-node 1.30: a 256 MB
// input costs 8 µs; results are written where they belong and copied once more into an array that we
// drop (1.4 ms for 12 MB). Look again before updating: the binding after 1.30 copies every input.
// `run` holds its thread until the graph is done: a trainer belongs in a process or worker of its own.
import { CorralError } from '@corral/contracts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { OnnxModel, TensorInfo } from '../onnx/emitter.ts';
import { executionProvider } from './device.ts';

/** An array seen as a tensor; made by `hostTensor`, read only by sessions. */
export type HostTensor = Tensor;
export type HostArray = Float32Array | BigInt64Array | Int8Array | Uint8Array;
export type HostTensors = Readonly<Record<string, HostTensor>>;

/** Looks at `data` without copying: later changes of its elements are seen by later runs. */
export const hostTensor = (data: HostArray, shape: readonly number[]): HostTensor => {
  if (data instanceof Float32Array) return new Tensor('float32', data, shape);
  if (data instanceof Int8Array) return new Tensor('int8', data, shape);
  if (data instanceof Uint8Array) return new Tensor('uint8', data, shape);
  return new Tensor('int64', data, shape);
};

export interface Session extends AsyncDisposable {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** Computes every output into the tensors of `results`, which must have the declared shapes. */
  run(feeds: HostTensors, results: HostTensors): Promise<void>;
  close(): Promise<void>;
}

export interface RuntimeOptions {
  readonly device: string;
  /** Threads inside one operation; results are the same for the same number. */
  readonly threads: number;
}

export interface Runtime extends AsyncDisposable {
  createSession(model: OnnxModel): Promise<Session>;
  /** Closes all sessions; idempotent. */
  close(): Promise<void>;
}

const sessionOptions = ({ device, threads }: RuntimeOptions): InferenceSession.SessionOptions => ({
  executionProviders: [executionProvider(device)],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  // Planned memory lies beside what the first run has taken, and doubled what a session holds (135M, backward,
  // T=2048: 648 MB with it, 320 without) at the same speed.
  enableMemPattern: false,
  // Warnings of the optimiser are no news to anybody; errors are thrown.
  logSeverityLevel: 3,
  extra: {
    session: {
      // Every session has a thread pool; without this the idle ones spin on the cores of the busy one.
      force_spinning_stop: '1',
      // Masked attention scores become denormal probabilities otherwise: slow, and not exactly zero.
      set_denormal_as_zero: '1',
    },
  },
});

const closedError = (): CorralError => new CorralError('closed', { params: { what: 'session' } });

const wrapSession = (native: InferenceSession, model: OnnxModel): Session => {
  let released: Promise<void> | undefined;
  const close = (): Promise<void> => (released ??= native.release());
  return {
    inputs: model.inputs,
    outputs: model.outputs,
    async run(feeds, results) {
      if (released) throw closedError();
      await native.run(feeds, results);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
};

/** A provider that is built in may still find no device, which only shows with the first session. */
const explain = (device: string, cause: unknown): unknown => {
  if (executionProvider(device) === 'cpu' || !(cause instanceof Error)) return cause;
  const reason = cause.message.trim().split('\n')[0] ?? '';
  return new CorralError('native_library_missing', {
    params: { component: `device "${device}"`, reason },
    cause,
  });
};

/** @throws CorralError native_library_missing when the device is not there */
export const createRuntime = (options: RuntimeOptions): Runtime => {
  const sessionSettings = sessionOptions(options);
  const sessions: Session[] = [];
  let closed = false;
  const close = async (): Promise<void> => {
    closed = true;
    await Promise.all(sessions.map((session) => session.close()));
  };
  return {
    async createSession(model) {
      if (closed) throw closedError();
      const native = await InferenceSession.create(model.bytes, sessionSettings).catch(
        (cause: unknown) => {
          throw explain(options.device, cause);
        },
      );
      const session = wrapSession(native, model);
      sessions.push(session);
      return session;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
};
