import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** What the guest is made with and runs on, and the Debian package that brings each. */
const TOOLS: ReadonlyMap<string, string> = new Map([
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['busybox', 'busybox-static'],
  ['mke2fs', 'e2fsprogs'],
  ['dpkg-deb', 'dpkg'],
  ['apt-get', 'apt'],
  ['ldd', 'libc-bin'],
]);

/** Debian keeps the tools of file systems where an ordinary user's PATH does not look. */
const PATH = [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter);

const LONGEST_OUTPUT_BYTES = 1024 * 1024;

export type Tool = 'qemu-system-x86_64' | 'busybox' | 'mke2fs' | 'dpkg-deb' | 'apt-get' | 'apt-cache' | 'ldd';

/** What this machine must be and have; throws one sentence that names what is missing and how to get it. */
export async function requireTools(): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `the power cut test makes its guest from this machine's own Node and libraries: it needs x86-64 Linux, this is ${process.arch} ${process.platform}`,
    );
  }
  const missing: string[] = [];
  for (const [tool, debianPackage] of TOOLS) if ((await findTool(tool)) === undefined) missing.push(debianPackage);
  if (missing.length > 0) {
    throw new Error(`the power cut test needs Debian's packages ${missing.join(', ')}: apt-get install them`);
  }
}

/** The absolute path of a tool, or undefined. */
export async function findTool(tool: string): Promise<string | undefined> {
  for (const directory of PATH.split(delimiter)) {
    const path = join(directory, tool);
    if (directory !== '' && (await canExecute(path))) return path;
  }
  return undefined;
}

async function canExecute(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a tool to its end and answers what it printed. Rejects with its last words when it fails. */
export async function runTool(tool: Tool, args: readonly string[], cwd?: string): Promise<string> {
  const env = { ...process.env, PATH, LC_ALL: 'C' };
  const { stdout } = await execute(tool, args, { env, cwd, maxBuffer: LONGEST_OUTPUT_BYTES });
  return stdout;
}

/** The shared libraries that a program loads, with its loader; none for a static one. */
export async function librariesOf(program: string): Promise<string[]> {
  let listing: string;
  try {
    listing = await runTool('ldd', [program]);
  } catch (error) {
    if (error instanceof Error && error.message.includes('not a dynamic executable')) return [];
    throw error;
  }
  return [...listing.matchAll(/(?:=> )?(\/\S+) \(0x/g)].flatMap(([, path]) => path ?? []);
}
