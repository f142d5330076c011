/** Of this program; the repository's packages carry the same one. */
export const VERSION = '0.1.0';
