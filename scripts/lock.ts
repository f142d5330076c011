/**
 * Completes `package-lock.json`. Tools ship a package per platform as optional dependencies; where a registry (a mirror,
 * say) lacks those of other platforms, npm leaves them out of the lock without a word, and then `npm ci` refuses that
 * lock everywhere. An entry with version and platform is all that `npm ci` needs to pass over it.
 */

export interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly license?: string;
  readonly cpu?: readonly string[];
  readonly os?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const OPERATING_SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
/** What package names call an architecture, and what `process.arch` calls it. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  arm: 'arm',
  arm64: 'arm64',
  armv7: 'arm',
  ia32: 'ia32',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  x64: 'x64',
};

/** Entries that the lock lacks, by their path in it. Empty: the lock is complete. */
export function missingEntries({ packages }: Lock): Record<string, LockedPackage> {
  const missing: Record<string, LockedPackage> = {};
  for (const [path, { dev, license, optionalDependencies }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
      if (isLocked(packages, path, name)) continue;
      const platform = platformOf(name);
      missing[`node_modules/${name}`] = {
        version,
        // npm's own order, so that its next write changes nothing.
        cpu: platform.cpu,
        ...(dev === undefined ? {} : { dev }),
        ...(platform.libc === undefined ? {} : { libc: platform.libc }),
        ...(license === undefined ? {} : { license }),
        optional: true,
        os: platform.os,
      };
    }
  }
  return missing;
}

/** The lock with its missing entries, in npm's order. */
export function completeLock<L extends Lock>(lock: L): L {
  const packages = Object.entries({ ...lock.packages, ...missingEntries(lock) });
  packages.sort(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(packages) };
}

interface Platform {
  readonly os: readonly string[];
  readonly cpu: readonly string[];
  readonly libc?: readonly string[];
}

/** Nested or hoisted: a package finds its dependency in any `node_modules` on the way up. */
function isLocked(packages: Lock['packages'], dependant: string, name: string): boolean {
  return `node_modules/${name}` in packages || `${dependant}/node_modules/${name}` in packages;
}

function platformOf(name: string): Platform {
  const words = name.slice(name.lastIndexOf('/') + 1).split('-');
  const os = words.find((word) => OPERATING_SYSTEMS.includes(word));
  const cpu = words.map((word) => ARCHITECTURES[word]).find((found) => found !== undefined);
  if (os === undefined || cpu === undefined) {
    throw new Error(`package-lock.json lacks the optional dependency '${name}', whose name tells no platform`);
  }
  const musl = words.some((word) => word.startsWith('musl'));
  return { cpu: [cpu], os: [os], ...(musl ? { libc: ['musl'] } : {}) };
}
