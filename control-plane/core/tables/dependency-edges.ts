import { known } from '../assert.ts';
import type { DependencyType } from '../types.ts';
import { NONE } from './job-table.ts';

/**
 * Who waits for whom: for each job that others wait for, a linked list of edges, in columns. An edge names the waiting
 * row and that row's generation, so that an edge whose job is gone is told apart and simply dropped.
 */
export class DependencyEdges {
  private readonly rows: number[] = [];
  private readonly generations: number[] = [];
  private readonly types: DependencyType[] = [];
  private readonly nexts: number[] = [];
  private readonly free: number[] = [];

  get size(): number {
    return this.rows.length - this.free.length;
  }

  /** Adds an edge in front of the list that begins with `first`; returns the list's new first edge. */
  add(first: number, row: number, generation: number, type: DependencyType): number {
    const edge = this.free.pop() ?? this.rows.length;
    this.rows[edge] = row;
    this.generations[edge] = generation;
    this.types[edge] = type;
    this.nexts[edge] = first;
    return edge;
  }

  at(edge: number): { row: number; generation: number; type: DependencyType; next: number } {
    return {
      row: known(this.rows[edge], 'edge'),
      generation: this.generations[edge] as number,
      type: this.types[edge] as DependencyType,
      next: this.nexts[edge] as number,
    };
  }

  remove(edge: number): void {
    this.rows[edge] = NONE;
    this.free.push(edge);
  }
}
