// The records as the shell reads them.
export * from './array-chunk.ts';
export * from './config.ts';
export * from './ended-job.ts';
export * from './history.ts';
export * from './keys.ts';
export * from './live-job.ts';
export * from './range-end.ts';
