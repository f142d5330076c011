/** What a kernel module (an uncompressed `.ko`) says that it needs: names of other modules. */
export function moduleDependencies(module: Buffer): string[] {
  const KEY = 'depends=';
  // Strings of the section .modinfo, one after another, each with its terminator.
  const start = module.indexOf(`\0${KEY}`, 0, 'latin1');
  if (start === -1) return [];
  const from = start + 1 + KEY.length;
  const names = module.toString('latin1', from, module.indexOf(0, from));
  return names.split(',').filter((name) => name !== '');
}

/** The modules that `wanted` needs, itself included, in an order in which they can be loaded. Throws where `read` does. */
export function loadOrder(wanted: readonly string[], read: (name: string) => Buffer): Map<string, Buffer> {
  const ordered = new Map<string, Buffer>();
  const visit = (name: string) => {
    if (ordered.has(name)) return;
    const module = read(name);
    for (const dependency of moduleDependencies(module)) visit(dependency);
    ordered.set(name, module);
  };
  for (const name of wanted) visit(name);
  return ordered;
}
