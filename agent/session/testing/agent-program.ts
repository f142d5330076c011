import { type AgentOptions, runAgent } from '../../main.ts';

// An agent as a process of its own: its options are its argument, as JSON.

const agent = await runAgent(JSON.parse(process.argv[2] ?? '{}') as AgentOptions);
await agent.closed;
