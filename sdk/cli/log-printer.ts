import type { GalleyClient } from '../client.ts';
import type { FollowLogOptions, LogChunk, LogStreamName } from '../logs.ts';
import type { Job } from '../types.ts';
import { formatBytes } from './format.ts';
import type { Session } from './host.ts';
import { note, type Output, printJsonLine, writeBytes } from './output.ts';

/** The streams that a job writes, and where the command line puts each. */
export function streamsOf(job: Job): readonly LogStreamName[] {
  return job.task?.separateStreams === true ? ['STDOUT', 'STDERR'] : ['OUTPUT'];
}

/** Prints a stream as it is written; survives restarts of the control plane and says so on stderr. */
export async function followStream(
  session: Session,
  client: GalleyClient,
  jobId: string,
  options: FollowLogOptions & { readonly stream: LogStreamName },
): Promise<void> {
  const onReconnect = (error: Error | undefined) =>
    note(
      session,
      error === undefined ? 'galley: connected again' : `galley: ${client.address} is gone, trying again ...`,
    );
  await printChunks(session, client.followLog(jobId, { onReconnect, ...options }), options.stream);
}

/** Bytes go to stdout as they are (STDERR to stderr); a gap is said on stderr. Under --json a line per chunk. */
export async function printChunks(
  session: Session,
  chunks: AsyncIterable<LogChunk>,
  stream: LogStreamName,
): Promise<void> {
  const output: Output = stream === 'STDERR' ? session.stderr : session.stdout;
  // What gave way step by step is one gap to whoever reads.
  let missing = 0;
  let why = '';
  const tellGap = () => {
    if (missing > 0) note(session, `galley: ${formatBytes(missing)} are missing here: ${why}`);
    missing = 0;
  };
  for await (const chunk of chunks) {
    if (session.json) {
      printJsonLine(session, chunkJson(chunk, stream));
      continue;
    }
    if (chunk.gapLength > 0) {
      if (chunk.gapReason !== why) tellGap();
      missing += chunk.gapLength;
      why = chunk.gapReason;
    }
    if (chunk.data.byteLength === 0) continue;
    tellGap();
    await writeBytes(output, chunk.data);
  }
  tellGap();
}

/** `text` when the bytes are UTF-8, else `base64`. */
function chunkJson({ attempt, offset, observedAtMs, data, gapLength, gapReason }: LogChunk, stream: LogStreamName) {
  const place = { attempt, stream, offset, observedAtMs };
  if (gapLength > 0) return { ...place, gapLength, gapReason };
  try {
    return { ...place, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data) };
  } catch {
    return { ...place, base64: Buffer.from(data).toString('base64') };
  }
}
