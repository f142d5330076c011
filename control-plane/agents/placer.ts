import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Placement, PlacementSchema } from '@galley/proto';
import type { PlaceOutput } from '../core/types.ts';
import type { DefinitionView } from '../core/view.ts';
import { PLACEMENTS_BYTES, PLACEMENTS_COUNT } from './protocol.ts';
import type { SpecReader } from './spec-reader.ts';

/** What a job's spec and its definition come to: what runs, under which name, for how long, with which features. */
export type ResolvedTask = Pick<
  MessageInitShape<typeof PlacementSchema>,
  'jobName' | 'task' | 'timeoutSeconds' | 'requiredFeatures'
>;

/** Puts a spec (an encoded SubmitJobRequest) and its definition together. Throws a sentence when that cannot be done. */
export type ResolvePlacement = (
  spec: Uint8Array,
  definition: DefinitionView | undefined,
  user: string,
) => ResolvedTask & {
  /** The index that a child of an array was given; absent where the array only has a size. */
  readonly givenIndex?: ((child: number) => number) | undefined;
};

/** About what a placement has beside its spec: names, numbers, what its definition adds. For sizing messages only. */
const PLACEMENT_BYTES = 1024;

/** Placements that go out in one message. */
export interface PlacementBatch {
  readonly placements: Placement[];
  readonly bytes: number;
}

/** A placement that cannot be made, and why. */
export interface FailedPlacement {
  readonly output: PlaceOutput;
  readonly reason: string;
}

export interface PreparedPlacements {
  readonly batches: PlacementBatch[];
  readonly failed: FailedPlacement[];
}

/** Makes the messages of placements: reads their specs together, resolves each. */
export class Placer {
  readonly #specs: SpecReader;
  readonly #resolve: ResolvePlacement;
  readonly #definition: (account: string, id: string) => DefinitionView | undefined;

  constructor(parts: {
    specs: SpecReader;
    resolve: ResolvePlacement;
    /** By `name:revision`. */
    definition: (account: string, id: string) => DefinitionView | undefined;
  }) {
    this.#specs = parts.specs;
    this.#resolve = parts.resolve;
    this.#definition = parts.definition;
  }

  async prepare(outputs: readonly PlaceOutput[]): Promise<PreparedPlacements> {
    const specs = await this.#specs.read(outputs);
    const resolved = new Map<number, ReturnType<ResolvePlacement>>();
    const failed: FailedPlacement[] = [];
    const batches: { placements: Placement[]; bytes: number }[] = [];
    for (const [index, output] of outputs.entries()) {
      let placement: Placement;
      try {
        placement = this.#placement(output, specs[index], resolved);
      } catch (error) {
        failed.push({ output, reason: error instanceof Error ? error.message : String(error) });
        continue;
      }
      const bytes = PLACEMENT_BYTES + (specs[index]?.byteLength ?? 0);
      const last = batches.at(-1);
      if (last === undefined || last.bytes + bytes > PLACEMENTS_BYTES || last.placements.length >= PLACEMENTS_COUNT) {
        batches.push({ placements: [placement], bytes });
      } else {
        last.placements.push(placement);
        last.bytes += bytes;
      }
    }
    return { batches, failed };
  }

  /** Children of one array are alike: what they come to is found once for all of them. */
  #resolved(output: PlaceOutput, spec: Uint8Array, resolved: Map<number, ReturnType<ResolvePlacement>>) {
    const known = resolved.get(output.number);
    if (known !== undefined) return known;
    const definition = this.#definition(output.account, output.definition);
    const task = this.#resolve(spec, definition, output.user);
    resolved.set(output.number, task);
    return task;
  }

  #placement(
    output: PlaceOutput,
    spec: Uint8Array | undefined,
    resolved: Map<number, ReturnType<ResolvePlacement>>,
  ): Placement {
    if (spec === undefined) throw new Error(`the spec of job ${output.number} is missing from the store`);
    const { givenIndex, ...task } = this.#resolved(output, spec, resolved);
    return create(PlacementSchema, {
      ...task,
      sequence: BigInt(output.sequence),
      id: { jobId: output.jobId, childIndex: output.childIndex, attempt: output.attempt },
      jobNumber: BigInt(output.number),
      jobQueue: output.queue,
      computeEnvironment: output.environment,
      jobDefinition: output.definition,
      user: output.user,
      onNodeLost: output.onNodeLost,
      account: output.account,
      ...(givenIndex === undefined ? {} : { givenIndex: givenIndex(output.childIndex) }),
    });
  }
}
