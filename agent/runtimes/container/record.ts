import { readJson, writeJson } from '../attempt.ts';

/** What a restarted agent has to know about a container: `container.json` in the attempt's directory. */
export interface ContainerRecord {
  readonly key: string;
  readonly bootId: string;
  /** The container's name at the engine. */
  readonly name: string;
  readonly launchedAtUptimeMs: number;
  readonly timeoutSeconds?: number;
  readonly stopGraceSeconds: number;
  readonly separateStreams: boolean;
  /** The limit; absent when the record was lost. */
  readonly memoryBytes?: number;
  readonly imageDigest: string;
  /** What a stop begins with: the image's own signal, else SIGTERM. */
  readonly stopSignal: string;
  /** Of the control group that was made for this attempt, if any. */
  readonly group?: string;
  /** Absent until the engine has said that it runs. */
  readonly startedAtUptimeMs?: number;
}

export const readContainerRecord = (directory: string) => readJson<ContainerRecord>(directory, 'container.json');
export const writeContainerRecord = (directory: string, record: ContainerRecord) =>
  writeJson(directory, 'container.json', record);
