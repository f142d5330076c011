/** One entry of an initramfs: a file with content, or a directory. Directories come before what is in them. */
export interface ArchiveEntry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** Undefined: a directory. */
  readonly content?: Uint8Array;
  /** Default false. */
  readonly executable?: boolean;
}

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
const ALIGNMENT_BYTES = 4;
const DIRECTORY_MODE = 0o040755;
const FILE_MODE = 0o100644;
const EXECUTABLE_MODE = 0o100755;

/**
 * An archive in cpio's "new ASCII" format, which the kernel unpacks as its first root (Documentation/driver-api/
 * early-userspace/buffer-format.rst). Everything belongs to root; times are 0, so the same entries give the same bytes.
 */
export function cpioArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts = entries.map(({ path, content, executable }, index) => {
    if (content === undefined) return record(path, index + 1, DIRECTORY_MODE, new Uint8Array());
    return record(path, index + 1, executable === true ? EXECUTABLE_MODE : FILE_MODE, content);
  });
  return Buffer.concat([...parts, record(TRAILER, 0, 0, new Uint8Array())]);
}

function record(path: string, inode: number, mode: number, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  const links = 1;
  // Inode, mode, owner, group, links, time, size, device (2), special device (2), length of the name, check sum.
  const fields = [inode, mode, 0, 0, links, 0, content.byteLength, 0, 0, 0, 0, name.byteLength, 0];
  const header = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join(''));
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(content)]);
}

function padded(bytes: Uint8Array): Buffer {
  const padding = -bytes.byteLength & (ALIGNMENT_BYTES - 1);
  return Buffer.concat([bytes, Buffer.alloc(padding)]);
}
