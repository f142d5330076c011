import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { within } from '../harness/wait.ts';
import { findTool } from './tools.ts';

/** Under software emulation on a loaded machine it has taken 11 s; without a bound, a guest that hangs would hang the test. */
const LONGEST_BOOT_MS = 240_000;
const LONGEST_END_MS = 20_000;
/** Of the console, for the message when something goes wrong. */
const REMEMBERED_LINES = 100;

const MEMORY_MIB = 1024;
const CPUS = 2;

export interface GuestFiles {
  readonly kernelImage: string;
  readonly initramfs: string;
  readonly systemDisk: string;
  readonly dataDisk: string;
}

export interface GuestOptions {
  readonly files: GuestFiles;
  /** Of this machine's loopback address; it leads to the guest's control plane. */
  readonly port: number;
  /** Words for `galley server`, without their dashes. */
  readonly serverFlags: readonly string[];
}

/** A machine that runs one control plane on one disk, until its power is cut. */
export class Guest {
  /** The administrator's token, read from the guest's console. */
  readonly token: string;
  /** From power on to the control plane's own word that it listens. */
  readonly bootMs: number;
  readonly #machine: Machine;

  private constructor(machine: Machine, token: string, bootMs: number) {
    this.#machine = machine;
    this.token = token;
    this.bootMs = bootMs;
  }

  /** Resolves when the control plane listens. Rejects with the console's last lines when it does not come to that. */
  static async boot(options: GuestOptions): Promise<Guest> {
    const started = performance.now();
    const machine = await Machine.start(options);
    try {
      const [, token = ''] = await machine.says(/^token: (\S+)/);
      await machine.says(/the control plane listens on/);
      return new Guest(machine, token, performance.now() - started);
    } catch (error) {
      await machine.cutPower();
      throw error;
    }
  }

  /** Cuts the power so long after it came, whatever the guest has come to until then. */
  static async cutWhileBooting(options: GuestOptions, afterMs: number): Promise<void> {
    const machine = await Machine.start(options);
    try {
      await delay(afterMs);
    } finally {
      await machine.cutPower();
    }
  }

  /**
   * SIGKILL to the emulator: what the guest has handed to its disk is in this machine's page cache and stays; what was
   * in the guest's own memory, its page cache included, is gone.
   */
  async cutPower(): Promise<void> {
    await this.#machine.cutPower();
  }
}

/** The emulator's process and the guest's serial console. */
class Machine {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();

  static async start(options: GuestOptions): Promise<Machine> {
    const qemu = await findTool('qemu-system-x86_64');
    if (qemu === undefined) throw new Error('qemu-system-x86_64 is not on the PATH');
    return new Machine(qemu, commandLine(options));
  }

  private constructor(qemu: string, args: readonly string[]) {
    const machine = spawn(qemu, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = machine;
    poweredOn.add(machine);
    for (const stream of [machine.stdout, machine.stderr]) {
      createInterface(stream).on('line', (line) => this.#hear(line.trimEnd()));
    }
    machine.once('error', (error) => this.#hear(`qemu: ${error.message}`));
    this.#ended = new Promise((resolve) => {
      machine.once('close', () => {
        poweredOn.delete(machine);
        resolve();
      });
    });
  }

  get console(): string {
    return this.#lines.map((line) => line.replace(/^token: .*/, 'token: ...')).join('\n');
  }

  /** The first line that matches, printed before or from now on. Rejects when the guest ends without one. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (const line of this.#lines) {
      const match = pattern.exec(line);
      if (match !== null) return match;
    }
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const watch = (line: string) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
    };
    this.#watchers.add(watch);
    void this.#ended.then(() => reject(new Error(`the guest ended; its console:\n${this.console}`)));
    try {
      return await within(LONGEST_BOOT_MS, () => `the console says ${pattern}:\n${this.console}`, promise);
    } finally {
      this.#watchers.delete(watch);
    }
  }

  async cutPower(): Promise<void> {
    this.#process.kill('SIGKILL');
    await within(LONGEST_END_MS, 'the end of a killed qemu', this.#ended);
  }

  #hear(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > REMEMBERED_LINES) this.#lines.shift();
    for (const watch of this.#watchers) watch(line);
  }
}

function commandLine({ files, port, serverFlags }: GuestOptions): string[] {
  const flags = serverFlags.map((flag) => `galley.${flag}`);
  // What a console prints costs boot time, and a panic must end the guest.
  const kernelWords = ['console=ttyS0', 'quiet', 'panic=-1', 'mitigations=off', ...flags];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(CPUS), '-m', String(MEMORY_MIB)],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ...['-kernel', files.kernelImage, '-initrd', files.initramfs, '-append', kernelWords.join(' ')],
    ...['-drive', `file=${files.systemDisk},if=virtio,format=raw,readonly=on`],
    ...['-drive', `file=${files.dataDisk},if=virtio,format=raw,cache=writeback`],
    // The guest reaches nothing; it is reached on one port of the loopback address.
    ...['-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${port}-10.0.2.15:8642`],
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
  ];
}

/** A test that ends in the middle of a round must not leave an emulator behind. */
const poweredOn = new Set<ChildProcess>();
process.on('exit', () => {
  for (const machine of poweredOn) machine.kill('SIGKILL');
});
