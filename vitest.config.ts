import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Tests start real processes beside their workers, so more workers than this only makes each of them slower.
const MAX_WORKERS = 2;

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/.tsbuild/**', 'third_party/**'],
    pool: 'forks',
    maxWorkers: Math.min(MAX_WORKERS, availableParallelism()),
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    passWithNoTests: true,
    // A retry would hide exactly the races that these tests are there to find.
    retry: 0,
  },
});
