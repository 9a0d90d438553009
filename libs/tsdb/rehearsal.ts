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
/** Metrics whose names share so many first letters are asked for together. */
const PREFIX_LETTERS = 8;

const by = (op: LeafAggregation["op"], ...labels: string[]): { aggregation: LeafAggregation } => {
  return { aggregation: { op, without: false, labels } };
};

/**
 * Leaves over the time of the block, in rounds without end: all series of a metric, one target's, those of several metrics, and nearly all. Each
 * round asks of other metrics and another target, as what was selected once is only looked up again. None where no series has a metric's name.
 * Errors: CorruptionError; those of the pace.
 */
export async function questionsOf(block: StoredBlock, tenant: string, pace: Pace): Promise<Iterable<Leaf>> {
  block.acquire();
  try {
    const metrics = await block.labelValues(tenant, METRIC_NAME, pace);
    const targets = await targetsOf(block, tenant, pace);
    const { minMs, maxMs } = block.reader.footer;
    return rounds(metrics, targets, minMs, maxMs);
  } finally {
    block.release();
  }
}

/** The label that tells targets apart, and its values. */
interface Targets {
  readonly name: string;
  readonly values: readonly string[];
}

function* rounds(
  metrics: readonly string[],
  { name, values }: Targets,
  minMs: number,
  maxMs: number,
): Generator<Leaf, void, void> {
  if (metrics.length === 0) return;
  const every = Math.max(1, Math.floor(metrics.length / METRICS_MAX));
  const stepMs = Math.max(1, Math.ceil((maxMs - minMs) / STEPS));
  const all = { grid: { startMs: minMs + 1, stepMs, count: STEPS }, rangeMs: RANGE_MS, offsetMs: 0, args: [] };
  // Code that has only met whole columns is thrown away when it meets a part of one.
  const inner = { ...all, grid: { startMs: minMs + INNER_STEPS * stepMs, stepMs, count: STEPS - 2 * INNER_STEPS } };
  for (let round = 0; ; round++) {
    const target = { name, value: values[((values.length >> 1) + round) % values.length]! };
    for (let i = 0; i < Math.min(METRICS_MAX, metrics.length); i++) {
      const value = metrics[(i * every + round) % metrics.length]!;
      const metric = { type: "=", name: METRIC_NAME, value } as const;
      const over = i % 2 === 0 ? inner : all;
      const one = { ...over, matchers: [metric] };
      const ofTarget = { ...over, matchers: [metric, { type: "=", ...target } as const] };
      const letters = escapeRegex(Array.from(value).slice(0, PREFIX_LETTERS).join(""));
      const prefix = { type: "=~", name: METRIC_NAME, value: `${letters}.*` } as const;
      yield { ...one, rollup: "rate", dropName: true, ...by("sum", METRIC_NAME) };
      yield { ...one, rollup: "rate", dropName: true, ...by("avg", target.name) };
      yield { ...one, rollup: "last", dropName: false };
      yield { ...one, rangeMs: LONG_RANGE_MS, rollup: "max_over_time", dropName: true, ...by("max", target.name) };
      yield { ...ofTarget, rollup: "rate", dropName: true };
      yield { ...ofTarget, rollup: "rate", dropName: true, ...by("sum", METRIC_NAME) };
      yield { ...over, matchers: [prefix], rollup: "last", dropName: false, ...by("sum", METRIC_NAME) };
      // Soon: not all questions are asked before readiness.
      if (i > 0) continue;
      const others = ["", value].map((not) => ({ type: "!=", name: METRIC_NAME, value: not }) as const);
      yield { ...all, matchers: others, rollup: "last", dropName: false, ...by("count") };
    }
  }
}

/** A label that tells targets apart, as the one with the most values does. */
async function targetsOf(block: StoredBlock, tenant: string, pace: Pace): Promise<Targets> {
  let targets: Targets = { name: METRIC_NAME, values: [""] };
  for (const name of await block.labelNames(tenant, pace)) {
    if (name === METRIC_NAME) continue;
    const values = await block.labelValues(tenant, name, pace);
    if (values.length > targets.values.length) targets = { name, values };
  }
  return targets;
}
