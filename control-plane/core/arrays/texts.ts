/** AWS Batch's text of a parent that failed because a child did (aws-batch.md, B.9). */
export const ARRAY_CHILD_FAILED = 'Array Child Job failed';
export const FAIL_FAST = 'Not started: as many children had failed as the array allows';
export const CANARY_FAILED = 'Not started: a canary of the array failed';
