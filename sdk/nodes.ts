import {
  ConfirmNodeOffResponseSchema,
  DrainNodeResponseSchema,
  GetNodeResponseSchema,
  ListNodesResponseSchema,
  NodeService,
  UndrainNodeResponseSchema,
} from '@galley/proto';
import { GalleyError } from './errors.ts';
import { pages } from './pages.ts';
import { toPlain } from './plain.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { Node } from './types.ts';

export function nodeMethods(transport: Transport) {
  const service = transport.service(NodeService);
  const { account } = transport.options;

  /** By name. */
  function listNodes(filter: { computeEnvironment?: string } = {}, options?: RequestOptions): AsyncGenerator<Node> {
    return pages(async (page) => {
      const request = { account, page, computeEnvironment: filter.computeEnvironment ?? '' };
      const answer = await transport.call('safe', (call) => service.listNodes(request, call), options);
      const { nodes, nextPageToken } = toPlain(ListNodesResponseSchema, answer);
      return { items: nodes as Node[], nextPageToken };
    });
  }

  /** Throws NOT_FOUND. */
  async function getNode(name: string, options?: RequestOptions): Promise<Node> {
    const answer = await transport.call('safe', (call) => service.getNode({ account, name }, call), options);
    return present(name, toPlain(GetNodeResponseSchema, answer).node);
  }

  /** No new placements; what runs there runs to its end. */
  async function drainNode(name: string, reason: string, options?: RequestOptions): Promise<Node> {
    const answer = await transport.call('safe', (call) => service.drainNode({ account, name, reason }, call), options);
    return present(name, toPlain(DrainNodeResponseSchema, answer).node);
  }

  /** Takes placements again. */
  async function undrainNode(name: string, options?: RequestOptions): Promise<Node> {
    const answer = await transport.call('safe', (call) => service.undrainNode({ account, name }, call), options);
    return present(name, toPlain(UndrainNodeResponseSchema, answer).node);
  }

  /** An operator's word that the host is off: its attempts end as lost, now. */
  async function confirmNodeOff(
    name: string,
    options?: RequestOptions,
  ): Promise<{ node: Node; endedAttempts: number }> {
    const answer = await transport.call('once', (call) => service.confirmNodeOff({ account, name }, call), options);
    const { node, endedAttempts } = toPlain(ConfirmNodeOffResponseSchema, answer);
    return { node: present(name, node), endedAttempts };
  }

  /** Forgets a node that has no attempts. */
  async function deleteNode(name: string, options?: RequestOptions): Promise<void> {
    await transport.call('once', (call) => service.deleteNode({ account, name }, call), options);
  }

  return { listNodes, getNode, drainNode, undrainNode, confirmNodeOff, deleteNode };
}

function present(name: string, node: object | undefined): Node {
  if (node === undefined) throw new GalleyError('BAD_ANSWER', `no node in the answer for ${name}`);
  return node as Node;
}
