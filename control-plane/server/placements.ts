import { fromBinary } from '@bufbuild/protobuf';
import { SubmitJobRequestSchema } from '@galley/proto';
import type { ResolvePlacement } from '../agents/placer.ts';
import { givenIndexOf } from '../api/arrays.ts';
import { DefinitionCache } from '../api/definitions.ts';
import { planJob, resolveTask, timeoutSeconds } from '../api/resolve.ts';

/** How a spec and its definition become what a node runs: as the API resolved them when the job was submitted. */
export function placementResolver(): ResolvePlacement {
  const definitions = new DefinitionCache();
  return (spec, view, user) => {
    if (view === undefined) throw new Error('its job definition is missing from the store');
    const request = fromBinary(SubmitJobRequestSchema, spec);
    const definition = definitions.compiled(view).message;
    return {
      jobName: request.jobName,
      givenIndex: givenIndexOf(request),
      task: resolveTask(request, definition, user),
      timeoutSeconds: timeoutSeconds(request, definition),
      requiredFeatures: [...planJob(request, definition, user).requirements.features],
    };
  };
}
