// libs/promql/plan-node.ts: what a query is turned into before it is evaluated: durations folded, @ resolved, leaves
// found, step-invariant parts marked. Plans are immutable and independent of the grid they are evaluated on.
import type { Labels, LeafAggregation, Matcher, Rollup } from "../model/index.ts";
import type { Aggregate, Binary, Call, Position, VectorSelector } from "./ast.ts";

export interface NumberPlan {
  readonly kind: "number";
  readonly value: number;
}
export interface StringPlan {
  readonly kind: "string";
  readonly value: string;
}

/** What a storage evaluates: an instant selector, or a range function over a range selector. */
export interface LeafPlan {
  readonly kind: "leaf";
  readonly matchers: readonly Matcher[];
  readonly rollup: Rollup;
  readonly rangeMs: number;
  readonly offsetMs: number;
  /** The fixed evaluation time of an @ modifier. */
  readonly atMs: number | undefined;
  /** Scalar parameters as written; evaluated on the grid of the leaf. */
  readonly params: readonly Plan[];
  /** Parameters known now: what extended selectors need. */
  readonly constants: readonly number[];
  /** Whether the result keeps its metric name. */
  readonly keepsName: boolean;
  readonly aggregation: LeafAggregation | undefined;
  /** Whether buckets of histograms may be left out. */
  readonly countsOnly: boolean;
  /** The metric name when an equality matcher fixes it, else "". */
  readonly name: string;
  /** The function as written, "" for a selector, and where its first argument stands. */
  readonly func: string;
  readonly pos: Position;
  /** Where the expression stands that `aggregation` aggregates. */
  readonly aggregatedPos: Position;
  /** Why it has no value: an error only where it is evaluated. */
  readonly refusal: string | undefined;
}

/** A subquery: its expression is evaluated on a grid of its own. */
export interface SubqueryPlan {
  readonly kind: "subquery";
  readonly child: Plan;
  readonly rangeMs: number;
  readonly stepMs: number;
  readonly offsetMs: number;
  readonly atMs: number | undefined;
}

/** A range function over a subquery. */
export interface RangePlan {
  readonly kind: "range";
  readonly rollup: Rollup;
  readonly source: SubqueryPlan;
  readonly params: readonly Plan[];
  readonly keepsName: boolean;
  readonly func: string;
  readonly pos: Position;
}

/** A range selector as the result of a query: raw samples, or the points of an extended range. */
export interface MatrixPlan {
  readonly kind: "matrix";
  readonly leaf: LeafPlan;
  /** For anchored and smoothed selectors: the range itself, the leaf's window is wider. */
  readonly extended: { readonly smoothed: boolean; readonly rangeMs: number; readonly aheadMs: number } | undefined;
}

export interface AbsentOverTimePlan {
  readonly kind: "absent-over-time";
  readonly source: LeafPlan | RangePlan;
  readonly labels: Labels;
}

export interface InfoPlan {
  readonly kind: "info";
  readonly base: Plan;
  /** Matchers of the second argument; undefined when there is none. */
  readonly selector: VectorSelector | undefined;
  readonly atMs: number | undefined;
  readonly offsetMs: number;
}

export interface CallPlan {
  readonly kind: "call";
  readonly func: string;
  readonly args: readonly Plan[];
  readonly call: Call;
}

export interface AggregatePlan {
  readonly kind: "aggregate";
  readonly child: Plan;
  readonly param: Plan | undefined;
  readonly expr: Aggregate;
}

/** `first op right op right …`, evaluated from the left. Long sums stay flat. */
export interface ChainPlan {
  readonly kind: "chain";
  readonly first: Plan;
  readonly links: readonly ChainLink[];
}
export interface ChainLink {
  readonly node: Binary;
  readonly right: Plan;
}

export interface NegatePlan {
  readonly kind: "negate";
  readonly child: Plan;
}

/** A part that has the same value at every step: evaluated at the first one and repeated. */
export interface OncePlan {
  readonly kind: "once";
  readonly child: Plan;
}

export type Plan =
  | NumberPlan
  | StringPlan
  | LeafPlan
  | SubqueryPlan
  | RangePlan
  | MatrixPlan
  | AbsentOverTimePlan
  | InfoPlan
  | CallPlan
  | AggregatePlan
  | ChainPlan
  | NegatePlan
  | OncePlan;
