// libs/promql/trace.ts: how long each node of a query took and what it gave, for those who ask for it.
// A node's time holds that of its children; operands are evaluated together, so theirs may add up to more.
import type { LeafResult, StorageShare } from "../model/index.ts";
import type { Plan } from "./plan-node.ts";
import { planText } from "./plan-text.ts";

/** A node as it is shown. */
export interface TraceNode {
  readonly node: string;
  durationMs: number;
  /** Series, points and bytes of its result. */
  series: number;
  points: number;
  bytes: number;
  /** For leaves: samples read, and what each storage did where there are several. */
  samples?: number;
  storages?: StorageShare[];
  readonly children: TraceNode[];
}

/** Nodes of one trace, at most; what lies deeper is not shown. */
const NODES_MAX = 1000;

/** One query's. */
export class Trace {
  readonly root: TraceNode;
  readonly #now: () => number;
  readonly #started: number;
  #nodes = 1;

  /** @param now monotonic ms */
  constructor(plan: Plan, now: () => number) {
    this.#now = now;
    this.#started = now();
    this.root = newNode(plan);
  }

  /** A node below `parent` and the time it begins; undefined when the trace is full. */
  open(parent: TraceNode, plan: Plan): { node: TraceNode; startedMs: number } | undefined {
    if (this.#nodes >= NODES_MAX) return undefined;
    this.#nodes++;
    const node = newNode(plan);
    parent.children.push(node);
    return { node, startedMs: this.#now() };
  }

  /** What an opened node gave. */
  close({ node, startedMs }: { node: TraceNode; startedMs: number }, series: number, points: number): void {
    node.durationMs = this.#now() - startedMs;
    node.series = series;
    node.points = points;
    node.bytes = 8 * points;
  }

  /** The root's numbers, when the query is done. */
  finish(series: number, points: number): TraceNode {
    this.close({ node: this.root, startedMs: this.#started }, series, points);
    return this.root;
  }
}

/** Adds what storages did to a leaf's node. */
export function traceLeaf(node: TraceNode, { samplesRead, shares }: LeafResult): void {
  node.samples = (node.samples ?? 0) + samplesRead;
  if (shares !== undefined) node.storages = [...(node.storages ?? []), ...shares];
}

function newNode(plan: Plan): TraceNode {
  return { node: planText(plan), durationMs: 0, series: 0, points: 0, bytes: 0, children: [] };
}
