/** Versions of the agent protocol that this agent speaks. */
export const PROTOCOL = { min: 1, max: 1 } as const;
/** Placements that may be unanswered at once. */
export const PLACEMENT_CREDIT = 1_000;
