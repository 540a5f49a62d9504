// What a process on this machine holds in memory, as the kernel counts it: pages of mapped model files
// included. Null where the kernel does not say (other systems than Linux, a process that has gone).
import { readFile } from 'node:fs/promises';

/** Bytes resident now. Source: proc(5), VmRSS of /proc/PID/status, in kB of 1024 bytes. */
export async function residentBytes(pid: number): Promise<number | null> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}
