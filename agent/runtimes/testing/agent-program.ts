/**
 * A small agent of its own process, for tests that kill it: `node agent-program.ts BASE COUNT COMMAND...` starts COUNT
 * attempts and prints a line for each that has started; `none` in place of a count only attaches. The variable
 * `WITHOUT_CGROUPS` runs it without control groups, `ENGINE` as containers of the engine on that socket.
 */
import { testedContainers } from './containers.ts';
import { NO_CGROUPS, TestHost } from './host.ts';

const [base = '', count = '0', ...argv] = process.argv.slice(2);
const socket = process.env['ENGINE'];
const host =
  socket === undefined
    ? await TestHost.open({ base, ...(process.env['WITHOUT_CGROUPS'] === undefined ? {} : { cgroups: NO_CGROUPS }) })
    : await TestHost.openTested(testedContainers(socket), base);
await host.attachAll();
console.log(`attached`);
for (let index = 0; index < Number(count); index++) {
  const job = host.run(argv, {
    key: `${process.pid}-${index}`,
    ...(JSON.parse(process.env['LAUNCH'] ?? '{}') as object),
  });
  void job.started.then((started) => console.log(`started ${job.key} ${started.state}`));
  void job.ended.then((outcome) => console.log(`ended ${job.key} ${JSON.stringify(outcome)}`));
}
