import type { MessageInitShape } from '@bufbuild/protobuf';
import type { BackupResponseSchema } from '@galley/proto';
import { FrameEncoder, MAGIC } from '../store/backup-format.ts';
import { KEYS_END } from '../store/commit-rules.ts';
import type { Store } from '../store/store.ts';

type Piece = MessageInitShape<typeof BackupResponseSchema>;

/**
 * A backup as it is sent: the bytes of a backup file in order, cut into messages; the last message carries the position.
 * Commits go on meanwhile and are not in it.
 */
export async function* streamBackup(
  store: Store,
  { clusterId, createdAtMs }: { clusterId: string; createdAtMs: number },
): AsyncGenerator<Piece, void, undefined> {
  const encoder = new FrameEncoder();
  const { position } = store;
  let entries = 0;
  let bytes = 0;
  yield { data: Buffer.concat([MAGIC, encoder.header({ clusterId, position, createdAtMs })]) };
  for await (const page of store.scan({ gte: new Uint8Array(), lt: KEYS_END })) {
    entries += page.length;
    for (const { key, value } of page) bytes += key.byteLength + value.byteLength;
    yield { data: encoder.page(page), recordsDone: BigInt(entries) };
  }
  yield {
    data: encoder.trailer({ entries, bytes }),
    recordsDone: BigInt(entries),
    position: { epoch: BigInt(position.epoch), sequence: BigInt(position.sequence) },
  };
}
