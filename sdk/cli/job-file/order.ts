import type { FileDependency, FileJob } from './job-file.ts';

/** Each job behind those that it depends on, else as in the file; places are those of the new order. */
export function inOrder(jobs: readonly FileJob[]): FileJob[] {
  const state = new Map<number, 'open' | 'done'>();
  const order: number[] = [];
  const visit = (place: number): void => {
    // An own stack: a chain may be as long as the file.
    const stack = [{ place, next: 0 }];
    state.set(place, 'open');
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const on = jobs[top.place]?.dependsOn[top.next++]?.on;
      if (on === undefined) {
        state.set(top.place, 'done');
        order.push(top.place);
        stack.pop();
      } else if (on.kind === 'inFile' && !state.has(on.place)) {
        state.set(on.place, 'open');
        stack.push({ place: on.place, next: 0 });
      } else if (on.kind === 'inFile' && state.get(on.place) === 'open') {
        complainOfCycle(
          jobs,
          stack.map((each) => each.place),
          on.place,
        );
      }
    }
  };
  for (const place of jobs.keys()) if (!state.has(place)) visit(place);
  const placeNow = new Map(order.map((place, at) => [place, at]));
  return order.flatMap((place) => {
    const job = jobs[place];
    return job === undefined
      ? []
      : [{ ...job, dependsOn: job.dependsOn.map((dependency) => moved(dependency, placeNow)) }];
  });
}

function moved(dependency: FileDependency, placeNow: ReadonlyMap<number, number>): FileDependency {
  const { on } = dependency;
  return on.kind === 'submitted' ? dependency : { ...dependency, on: { ...on, place: placeNow.get(on.place) ?? 0 } };
}

function complainOfCycle(jobs: readonly FileJob[], stack: readonly number[], back: number): void {
  const round = [...stack.slice(stack.indexOf(back)), back];
  const names = round.map((place) => jobs[place]?.options.name ?? `jobs[${place}]`);
  jobs[back]?.fields.get('depends_on')?.complain(`jobs wait for each other in a circle: ${names.join(' -> ')}`);
}
