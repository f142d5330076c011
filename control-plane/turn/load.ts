import { fromBinary } from '@bufbuild/protobuf';
import { DependencyType as ProtoDependencyType, SubmitJobRequestSchema } from '@galley/proto';
import type { Core } from '../core/core.ts';
import { jobIdFromUuid } from '../core/ids.ts';
import { CoreLoader, type PendingDependent } from '../core/load.ts';
import {
  arrayRange,
  CLUSTER_KEY,
  decodeEndedJob,
  endedJobKey,
  jobIdIndexKey,
  numberAt,
  specKey,
  type Table,
  tableRange,
} from '../core/records/index.ts';
import { DependencyType, type EndedFact, type NewDependency } from '../core/types.ts';
import type { Store } from '../store/store.ts';

/** Jobs whose specs are read at a time. */
const SPEC_PAGE = 500;

/** Rebuilds the core from what the store holds. */
export async function loadCore(store: Store, options: { wallMs: number }): Promise<Core> {
  const { position, integrity } = store;
  const loader = new CoreLoader({ cluster: await store.get(CLUSTER_KEY), position, integrity, wallMs: options.wallMs });
  for (const account of loader.accounts) {
    await each(store, account, 'e', (value) => loader.environment(value));
    await each(store, account, 'q', (value) => loader.queue(value));
    await each(store, account, 'd', (value) => loader.definition(value));
    await each(store, account, 'n', (value) => loader.node(value));
    await each(store, account, 'j', (value) => loader.liveJob(account, value));
  }
  for (const { account, number } of loader.arrays) {
    const children = loader.children(account, number);
    for await (const page of store.scan(arrayRange(account, 'c', number))) {
      for (const { key, value } of page) children.record(key, value);
    }
    children.finish();
  }
  for (let at = 0; at < loader.dependents.length; at += SPEC_PAGE) {
    await loadDependencies(store, loader, loader.dependents.slice(at, at + SPEC_PAGE));
  }
  return loader.finish();
}

async function each(store: Store, account: string, table: Table, visit: (value: Uint8Array) => void): Promise<void> {
  for await (const page of store.scan(tableRange(account, table))) {
    for (const { value } of page) visit(value);
  }
}

async function loadDependencies(store: Store, loader: CoreLoader, jobs: readonly PendingDependent[]): Promise<void> {
  const specs = await store.getMany(jobs.map(({ account, number }) => specKey(account, number)));
  for (const [at, { account, number }] of jobs.entries()) {
    const spec = specs[at];
    if (spec === undefined) throw new Error(`the spec of job ${number} is missing from the store`);
    const request = fromBinary(SubmitJobRequestSchema, spec);
    // SEQUENTIAL names no other job; the array's own record has it.
    const dependsOn = request.dependsOn.filter(({ type }) => type !== ProtoDependencyType.SEQUENTIAL);
    const ids = dependsOn.map((dependency) => jobIdFromUuid(dependency.jobId));
    const ended = await readEndedFacts(store, account, ids);
    const dependencies = dependsOn.map(
      ({ type }, i): NewDependency => ({ jobId: ids[i] as Uint8Array, type: dependencyType(type), ended: ended[i] }),
    );
    loader.dependencies(number, dependencies);
  }
}

/** What the store says of jobs that are over, in the order of the ids; undefined for those that it does not know. */
export async function readEndedFacts(
  store: Store,
  account: string,
  ids: readonly Uint8Array[],
): Promise<(EndedFact | undefined)[]> {
  if (ids.length === 0) return [];
  const numbers = await store.getMany(ids.map((id) => jobIdIndexKey(account, id)));
  const found = numbers.flatMap((value, at) => (value === undefined ? [] : [{ at, number: numberAt(value, 0) }]));
  const facts: (EndedFact | undefined)[] = ids.map(() => undefined);
  if (found.length === 0) return facts;
  const records = await store.getMany(found.map(({ number }) => endedJobKey(account, number)));
  for (const [i, { at, number }] of found.entries()) {
    const record = records[i];
    if (record === undefined) continue;
    const { state, digest, array } = decodeEndedJob(record);
    facts[at] = { number, state, digest, array };
  }
  return facts;
}

/** The core's type of a dependency as submitted. */
export function dependencyType(type: ProtoDependencyType): DependencyType {
  switch (type) {
    case ProtoDependencyType.N_TO_N:
      return DependencyType.nToN;
    case ProtoDependencyType.AFTER_ANY:
      return DependencyType.afterAny;
    case ProtoDependencyType.AFTER_NOT_OK:
      return DependencyType.afterNotOk;
    default:
      return DependencyType.afterOk;
  }
}
