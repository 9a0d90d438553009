// libs/promql/evaluation.ts: what the nodes of one running query share, and what they are given.
import type { Grid } from "../model/index.ts";
import type { Annotations } from "./annotations.ts";
import type { Budget } from "./budget.ts";
import type { LeafRequests } from "./leaf-requests.ts";
import type { SampleCounts } from "./sample-counts.ts";
import type { Trace, TraceNode } from "./trace.ts";

/** One running query. */
export interface Run {
  readonly leaves: LeafRequests;
  readonly budget: Budget;
  readonly lookbackMs: number;
  /** Names are dropped at the end of the query instead of by the function that drops them. */
  readonly delayedNames: boolean;
  /** Whether functions of counters look at start times, and start_timestamp() has results. */
  readonly useStarts: boolean;
  /** Absent unless the asker wants to know. */
  readonly trace?: Trace;
}

/** The place of a node in the evaluation: the query, the grid it is evaluated on, and where its annotations go. */
export interface Scope {
  readonly run: Run;
  readonly grid: Grid;
  /** Whether start and end of the evaluation differ, even when one step is all there is: sorting means nothing then. */
  readonly ranged: boolean;
  /** How far from their time, in ms, selectors and subqueries with @ are looked up; absent for not at all. */
  readonly atShiftMs?: number;
  readonly notes: Annotations;
  /** Where samples are counted; absent when nobody asks. */
  readonly counts?: SampleCounts | undefined;
  /** The node of the trace that is being evaluated. */
  readonly node?: TraceNode;
}

/** Evaluation times in ms. */
export function gridTimes(grid: Grid): Float64Array {
  const out = new Float64Array(grid.count);
  for (let s = 0; s < grid.count; s++) out[s] = grid.startMs + s * grid.stepMs;
  return out;
}

/** Evaluation times in seconds, as time() sees them. */
export function gridSeconds(grid: Grid): Float64Array {
  return gridTimes(grid).map((ms) => ms / 1000);
}
