import { create } from '@bufbuild/protobuf';
import { type Node, NodeSchema, type NodeService } from '@galley/proto';
import type { NodeView } from '../core/view.ts';
import type { Handlers } from '../server/handler.ts';
import { accountOf } from './accounts.ts';
import { missing } from './admission.ts';
import { accepted } from './errors.ts';
import { jobIdText } from './job-lookup.ts';
import { toResourcesOf } from './job-messages.ts';
import type { ApiParts, NodeDirectory } from './parts.ts';
import { pageOfNames } from './tokens.ts';

/** The hosts that run agents. */
export function createNodeService({
  turns,
  nodes: directory,
}: Pick<ApiParts, 'turns' | 'nodes'>): Handlers<typeof NodeService> {
  const readNode = async (account: string, name: string): Promise<Node> => {
    const found = await turns.read((view) => view.node(account, name));
    if (found === undefined) throw missing('node', name);
    return toNode(found, directory);
  };
  return {
    listNodes: async (request) => {
      const wanted = request.computeEnvironment;
      const all = await turns.read((view) => view.nodes(accountOf(request)));
      const shown = all.filter(({ environment }) => wanted === '' || environment === wanted);
      const { items, nextPageToken } = pageOfNames('nodes', request, shown, ({ name }) => name);
      return { nodes: items.map((view) => toNode(view, directory)), nextPageToken };
    },

    getNode: async (request) => ({ node: await readNode(accountOf(request), request.name) }),

    drainNode: async (request) => {
      const account = accountOf(request);
      const { name, reason } = request;
      accepted(await turns.apply({ kind: 'drainNode', account, node: name, reason }));
      return { node: await readNode(account, name) };
    },

    undrainNode: async (request) => {
      const account = accountOf(request);
      accepted(await turns.apply({ kind: 'undrainNode', account, node: request.name }));
      return { node: await readNode(account, request.name) };
    },

    confirmNodeOff: async (request) => {
      const account = accountOf(request);
      const input = { kind: 'confirmNodeOff', account, node: request.name } as const;
      const { endedAttempts } = accepted(await turns.apply(input));
      return { node: await readNode(account, request.name), endedAttempts };
    },

    deleteNode: async (request) => {
      const account = accountOf(request);
      accepted(await turns.apply({ kind: 'deleteNode', account, node: request.name }));
      directory.delete(account, request.name);
      return {};
    },
  };
}

function toNode(view: NodeView, directory: NodeDirectory): Node {
  const facts = directory.get(view.account, view.name);
  const message = create(NodeSchema, {
    account: view.account,
    name: view.name,
    computeEnvironment: view.environment,
    state: view.state,
    stateReason: view.stateReason,
    runningAttempts: view.runningAttempts,
    joinedAtMs: BigInt(view.joinedAtMs),
    lastSeenAtMs: BigInt(view.lastSeenAtMs),
    incarnation: view.incarnation,
    bootId: view.bootId,
    clockOffsetMs: BigInt(Math.round(facts?.clockOffsetMs ?? 0)),
    version: BigInt(view.version),
    connected: view.connected,
    orphans: view.orphans.map((orphan) => ({
      jobId: jobIdText({ id: orphan.jobId, child: orphan.childIndex }),
      attempt: orphan.attempt,
      running: orphan.running,
      jobName: orphan.jobName,
      startedAtMs: BigInt(orphan.startedAtMs),
    })),
  });
  message.capacity = toResourcesOf(view.offer);
  message.allocated = toResourcesOf(view.allocated);
  if (facts?.inventory !== undefined) message.inventory = facts.inventory;
  if (facts?.usage !== undefined) message.usage = facts.usage;
  return message;
}
