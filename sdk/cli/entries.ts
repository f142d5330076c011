// What the command line starts and does not contain: loaded when asked for, so that `galley jobs` never pays for it.

export const loadServer = () => import('@galley/control-plane/main.ts');
export const loadAgent = () => import('@galley/agent/main.ts');
export const loadBackup = () => import('@galley/control-plane/restore.ts');
