/** Whether the error is a system call's with one of these codes (`ENOENT`, …). */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

/**
 * Whether something failed because the disk, or the user's quota on it, is full. LevelDB passes on only the text of
 * strerror, so causes are searched by text as well as by code.
 */
export function isDiskFull(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (isErrno(cause, 'ENOSPC', 'EDQUOT') || /No space left on device|quota exceeded/i.test(cause.message))
      return true;
  }
  return false;
}
