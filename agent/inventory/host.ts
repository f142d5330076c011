import { arch, cpus, hostname, release, totalmem, userInfo } from 'node:os';
import { cpu, mem, osInfo } from 'systeminformation';
import { withDeadline } from '../heartbeat/deadline.ts';

/** Each question is asked once, at start, and given up after this; what then stands is what Node knows by itself. */
const QUESTION_DEADLINE_MS = 5_000;

/** What a host is. */
export interface Host {
  readonly hostname: string;
  readonly operatingSystem: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly agentUser: string;
  readonly agentIsRoot: boolean;
  /** Questions that were not answered. */
  readonly warnings: readonly string[];
}

/** Asks the host what it is. Never fails, and takes at most {@link QUESTION_DEADLINE_MS}. */
export async function describeHost(): Promise<Host> {
  const warnings: string[] = [];
  const ask = <T>(what: string, question: Promise<T>): Promise<T | undefined> =>
    withDeadline(what, QUESTION_DEADLINE_MS, question).catch((error: unknown) => {
      warnings.push(`inventory: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
  const [processor, memory, system] = await Promise.all([
    ask('cpu', cpu()),
    ask('mem', mem()),
    ask('osInfo', osInfo()),
  ]);
  const own = cpus();
  return {
    hostname: hostname(),
    operatingSystem: system === undefined ? process.platform : `${system.distro} ${system.release}`.trim(),
    kernel: system?.kernel ?? release(),
    architecture: arch(),
    cpuModel: processor === undefined ? (own[0]?.model ?? '') : `${processor.manufacturer} ${processor.brand}`.trim(),
    // What the kernel lets this process see counts, not what is in the sockets.
    cores: own.length > 0 ? own.length : (processor?.cores ?? 1),
    memoryBytes: memory?.total ?? totalmem(),
    swapBytes: memory?.swaptotal ?? 0,
    agentUser: userName(),
    agentIsRoot: process.getuid?.() === 0,
    warnings,
  };
}

/** In a container the own user often has no entry anywhere. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `${process.getuid?.() ?? 'unknown'}`;
  }
}
