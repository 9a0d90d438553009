// libs/tsdb/rehearsal.ts: what a dashboard may ask of a block, made of the names and values that it holds: read-ahead asks it before anybody does,
// so that the code is compiled and what it looks up is in memory.
import { escapeRegex, type Leaf, type LeafAggregation, METRIC_NAME } from "../model/index.ts";
import type { Pace } from "./pace.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Of how many metrics, steps of the answers, windows. */
const METRICS_MAX = 12;
const STEPS = 100;
const RANGE_MS = 300_000;
const LONG_RANGE_MS = 1_800_000;
/** Steps that half of the questions leave out at both ends. */
const INNER_STEPS = 15;
/** Questions about each metric. */
const FORMS = 7;
/** Metrics whose names share so many first letters are asked for together. */
const PREFIX_LETTERS = 8;

const by = (op: LeafAggregation["op"], ...labels: string[]): { aggregation: LeafAggregation } => {
  return { aggregation: { op, without: false, labels } };
};

/** Leaves over the time of the block: all series of a metric, one target's, one series', those of several metrics, all. Errors: CorruptionError; those of the pace. */
export async function questionsOf(block: StoredBlock, tenant: string, pace: Pace): Promise<Leaf[]> {
  block.acquire();
  try {
    const metrics = await block.labelValues(tenant, METRIC_NAME, pace);
    const target = await targetOf(block, tenant, pace);
    const { minMs, maxMs } = block.reader.footer;
    const stepMs = Math.max(1, Math.ceil((maxMs - minMs) / STEPS));
    const all = { grid: { startMs: minMs + 1, stepMs, count: STEPS }, rangeMs: RANGE_MS, offsetMs: 0, args: [] };
    // Code that has only met whole columns is thrown away when it meets a part of one.
    const inner = { ...all, grid: { startMs: minMs + INNER_STEPS * stepMs, stepMs, count: STEPS - 2 * INNER_STEPS } };
    const every = Math.max(1, Math.floor(metrics.length / METRICS_MAX));
    const leaves = metrics
      .filter((_, i) => i % every === 0)
      .slice(0, METRICS_MAX)
      .flatMap((value, i): Leaf[] => {
        const metric = { type: "=", name: METRIC_NAME, value } as const;
        const over = i % 2 === 0 ? inner : all;
        const one = { ...over, matchers: [metric] };
        const ofTarget = { ...over, matchers: [metric, { type: "=", ...target } as const] };
        const letters = escapeRegex(Array.from(value).slice(0, PREFIX_LETTERS).join(""));
        const prefix = { type: "=~", name: METRIC_NAME, value: `${letters}.*` } as const;
        return [
          { ...one, rollup: "rate", dropName: true, ...by("sum", METRIC_NAME) },
          { ...one, rollup: "rate", dropName: true, ...by("avg", target.name) },
          { ...one, rollup: "last", dropName: false },
          { ...one, rangeMs: LONG_RANGE_MS, rollup: "max_over_time", dropName: true, ...by("max", target.name) },
          { ...ofTarget, rollup: "rate", dropName: true },
          { ...ofTarget, rollup: "rate", dropName: true, ...by("sum", METRIC_NAME) },
          { ...over, matchers: [prefix], rollup: "last", dropName: false, ...by("sum", METRIC_NAME) },
        ];
      });
    const anything = [{ type: "!=", name: METRIC_NAME, value: "" } as const];
    const countOfAll: Leaf = { ...all, matchers: anything, rollup: "last", dropName: false, ...by("count") };
    // Soon: not all questions are asked before readiness.
    return leaves.toSpliced(FORMS, 0, countOfAll);
  } finally {
    block.release();
  }
}

/** A label that tells targets apart, as the one with the most values does, and one of its values. */
async function targetOf(block: StoredBlock, tenant: string, pace: Pace): Promise<{ name: string; value: string }> {
  let target = { name: METRIC_NAME, values: [""] };
  for (const name of await block.labelNames(tenant, pace)) {
    if (name === METRIC_NAME) continue;
    const values = await block.labelValues(tenant, name, pace);
    if (values.length > target.values.length) target = { name, values };
  }
  const { name, values } = target;
  return { name, value: values[values.length >> 1]! };
}
