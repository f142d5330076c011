/** Of this program, as `GetClusterStatus` tells it; the repository's packages carry the same one. */
export const VERSION = '0.1.0';
