import { adminMethods } from './admin.ts';
import { definitionMethods } from './definitions.ts';
import { environmentMethods } from './environments.ts';
import { eventMethods } from './events.ts';
import { historyMethods } from './history.ts';
import { jobMethods } from './jobs.ts';
import { logMethods } from './logs.ts';
import { nodeMethods } from './nodes.ts';
import { compileOptions, type GalleyOptions } from './options.ts';
import { queueMethods } from './queues.ts';
import { openTransport } from './transport.ts';
import { watchMethods } from './watch.ts';

/** Everything that a control plane does for its users. */
export type GalleyClient = ReturnType<typeof connectGalley>;

/**
 * A client of one control plane. It connects with the first call, and again whenever the connection is lost; `close`
 * lets the process end.
 *
 * ```ts
 * const galley = connectGalley();
 * const { jobId } = await galley.submitJob({ command: ['make', 'all'], resources: { vcpus: 2 } });
 * const { summary } = await galley.waitForJob(jobId);
 * galley.close();
 * ```
 *
 * Throws GalleyError NOT_CONFIGURED and INVALID_ARGUMENT; every method throws GalleyError.
 */
export function connectGalley(options: GalleyOptions = {}) {
  const compiled = compileOptions(options);
  const transport = openTransport(compiled);
  const jobs = jobMethods(transport);
  return {
    /** `host:port` of the control plane. */
    address: compiled.address,
    /** The data directory that the address was read from, if it was. */
    dataDirectory: compiled.dataDirectory,
    ...jobs,
    ...watchMethods(transport, jobs),
    ...logMethods(transport),
    ...nodeMethods(transport),
    ...queueMethods(transport),
    ...environmentMethods(transport),
    ...definitionMethods(transport),
    ...historyMethods(transport),
    ...eventMethods(transport),
    ...adminMethods(transport),
    close: () => transport.close(),
    [Symbol.dispose]: () => transport.close(),
  };
}
