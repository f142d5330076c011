/** What the control plane takes as the name of a node. */
const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const MAX_CHARACTERS = 128;

/** Throws RangeError for a name that the control plane would refuse. */
export function checkNodeName(name: string): string {
  if (!NODE_NAME.test(name)) {
    throw new RangeError(
      `nodeName: 1 to ${MAX_CHARACTERS} letters, digits, '_', '.' and '-', the first a letter or digit; got ${JSON.stringify(name)}`,
    );
  }
  return name;
}

/** A host's name as a node's name: what is not allowed becomes `-`. */
export function nodeNameOf(hostname: string): string {
  const name = hostname
    .replace(/[^A-Za-z0-9_.-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, MAX_CHARACTERS);
  return name === '' ? 'node' : name;
}
