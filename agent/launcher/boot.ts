import { readFileSync } from 'node:fs';

/** Names this boot of the host: a record with another one was written before a restart of the machine. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Milliseconds since boot, time in suspend included, in steps of 10: never set, never going back. */
export function uptimeMs(): number {
  const text = readFileSync('/proc/uptime', 'utf8');
  return Math.round(Number(text.slice(0, text.indexOf(' '))) * 1000);
}
