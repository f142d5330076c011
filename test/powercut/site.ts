import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectGalley, type GalleyClient } from '@galley/sdk';
import { freePort } from '../harness/port.ts';
import { Guest, type GuestFiles, type GuestOptions } from './guest.ts';
import { makeInitramfs } from './initramfs.ts';
import { provideKernel } from './kernel.ts';
import { makeDataDisk, makeSystemDisk } from './system-disk.ts';

/** Downloads outlive a run here. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/galley-powercut', import.meta.url));

const DATA_DISK_BYTES = 1024 * 1024 * 1024;

/** Emulated machines are slow, and nothing here waits for a call that cannot be answered. */
const CALL_TIMEOUT_MS = 120_000;

/** What all machines of a run have in common. */
export interface Site {
  readonly work: string;
  readonly files: Omit<GuestFiles, 'dataDisk'>;
}

/** Makes, in the empty directory `work`, what the guests boot from. */
export async function prepareSite(work: string): Promise<Site> {
  const started = performance.now();
  const kernel = await provideKernel(CACHE);
  const initramfs = join(work, 'initramfs');
  await writeFile(initramfs, await makeInitramfs(kernel));
  const systemDisk = join(work, 'system.img');
  await makeSystemDisk(systemDisk, work);
  console.log(`a guest with ${kernel.name}, made in ${seconds(performance.now() - started)}`);
  return { work, files: { kernelImage: kernel.image, initramfs, systemDisk } };
}

/** One control plane's machine with its disk, which is switched on and off. */
export class PoweredMachine {
  readonly #site: Site;
  readonly #port: number;
  readonly #dataDisk: string;
  readonly #serverFlags: readonly string[];
  #guest: Guest | undefined;
  #token = '';

  /** A machine with an empty disk, switched off. */
  static async create(site: Site, name: string, serverFlags: readonly string[] = []): Promise<PoweredMachine> {
    const dataDisk = join(site.work, `${name}.img`);
    await makeDataDisk(dataDisk, DATA_DISK_BYTES);
    return new PoweredMachine(site, await freePort(), dataDisk, serverFlags);
  }

  private constructor(site: Site, port: number, dataDisk: string, serverFlags: readonly string[]) {
    this.#site = site;
    this.#port = port;
    this.#dataDisk = dataDisk;
    this.#serverFlags = serverFlags;
  }

  /** Resolves, with the milliseconds that it took, when its control plane listens. */
  async powerOn(): Promise<number> {
    this.#guest = await Guest.boot(this.#options);
    this.#token = this.#guest.token;
    return this.#guest.bootMs;
  }

  /** Power on, and off again so long after. */
  async cutWhileStarting(afterMs: number): Promise<void> {
    await Guest.cutWhileBooting(this.#options, afterMs);
  }

  /** Takes effect before it returns; the promise waits for the end. */
  async cutPower(): Promise<void> {
    await this.#guest?.cutPower();
    this.#guest = undefined;
  }

  /** Where its control plane is reached, on or off. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** The administrator's, known once it was on. */
  get token(): string {
    return this.#token;
  }

  /** A new connection, which makes every call once. */
  connect(): GalleyClient {
    return connectGalley({
      address: this.address,
      token: this.token,
      timeoutMs: CALL_TIMEOUT_MS,
      retry: { attempts: 1 },
      env: {},
    });
  }

  get #options(): GuestOptions {
    return {
      files: { ...this.#site.files, dataDisk: this.#dataDisk },
      port: this.#port,
      serverFlags: this.#serverFlags,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
    await rm(this.#dataDisk, { force: true });
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
