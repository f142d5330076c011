import { mkdir } from 'node:fs/promises';
import { dataDirectory } from './server/data-directory.ts';
import { toServerError } from './server/errors.ts';
import { type Restored, type RestoreOptions, restoreBackup as restoreStore } from './store/backup.ts';

/**
 * Makes the state in a data directory anew from a backup file. There must be none yet: whoever replaces a damaged one
 * moves `store/` away first. The control plane that is started on it begins paused, in a new epoch. Rejects with a
 * `ServerError`.
 */
export async function restoreBackup(file: string, dataDir: string, options: RestoreOptions = {}): Promise<Restored> {
  const directory = dataDirectory(dataDir);
  try {
    await mkdir(directory.path, { recursive: true, mode: 0o700 });
    return await restoreStore(file, directory.store, options);
  } catch (error) {
    throw toServerError(error, directory.path);
  }
}
