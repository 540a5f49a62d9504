// Which execution provider runs the graphs. The same graphs run on each; one option chooses.
import type { devices } from '@corral/contracts';
import { CorralError } from '@corral/contracts';
import { listSupportedBackends } from 'onnxruntime-node';

type Device = (typeof devices)[number];
type Provider = Exclude<Device, 'auto'>;

/** ONNX Runtime's name of each provider in Node. */
const providers: Record<Provider, string> = {
  cpu: 'cpu',
  cuda: 'cuda',
  webgpu: 'webgpu',
  directml: 'dml',
  coreml: 'coreml',
};

const isDevice = (name: string): name is Device => name === 'auto' || name in providers;

/**
 * The execution provider for a device; `auto` is the CPU, the only one whose results are known to repeat
 * bit for bit.
 * @throws CorralError native_library_missing when this machine's ONNX Runtime does not have it
 */
export const executionProvider = (device: string): string => {
  const missing = (reason: string): CorralError =>
    new CorralError('native_library_missing', {
      params: { component: `device "${device}"`, reason },
    });
  if (!isDevice(device)) throw missing(`known are auto, ${Object.keys(providers).join(', ')}`);
  const wanted = providers[device === 'auto' ? 'cpu' : device];
  const present = listSupportedBackends().map(({ name }) => name);
  if (present.includes(wanted)) return wanted;
  throw missing(`ONNX Runtime on this machine has ${present.join(', ')}`);
};
