// libs/rpc/leaf-codec.ts: leaves, matchers and lookups ⇄ messages of query.proto.
// Invariant: what a peer sent is checked here, so that an engine only sees well-formed leaves.
import {
  InvalidError,
  type Leaf,
  type LeafAggregation,
  type LeafNote,
  type LeafNoteKind,
  type LevelChoice,
  type Matcher,
  type MatchType,
  type PartialOp,
  type Rollup,
  UnavailableError,
} from "../model/index.ts";
import type {
  AggregationMessage,
  ArgumentMessage,
  LeafMessage,
  LookupRequest,
  MatcherMessage,
  NoteMessage,
} from "./messages.ts";

/** A year of seconds, about: a step takes memory before it has a sample. */
const STEPS_MAX = 1 << 25;

// Records, so that the compiler asks for a line when the model gains a name.
/** By function: how many arguments it needs. */
const ROLLUPS: Readonly<Record<Rollup, number>> = {
  last: 0,
  timestamp: 0,
  start_timestamp: 0,
  rate: 0,
  increase: 0,
  delta: 0,
  irate: 0,
  idelta: 0,
  deriv: 0,
  predict_linear: 1,
  changes: 0,
  resets: 0,
  avg_over_time: 0,
  min_over_time: 0,
  max_over_time: 0,
  sum_over_time: 0,
  count_over_time: 0,
  stddev_over_time: 0,
  stdvar_over_time: 0,
  quantile_over_time: 1,
  mad_over_time: 0,
  last_over_time: 0,
  first_over_time: 0,
  present_over_time: 0,
  double_exponential_smoothing: 2,
  ts_of_min_over_time: 0,
  ts_of_max_over_time: 0,
  ts_of_last_over_time: 0,
  ts_of_first_over_time: 0,
  rate_anchored: 2,
  increase_anchored: 2,
  delta_anchored: 2,
  changes_anchored: 2,
  resets_anchored: 2,
  rate_smoothed: 2,
  increase_smoothed: 2,
  delta_smoothed: 2,
  last_smoothed: 2,
  samples: 0,
};
const PARTIAL_OPS: Readonly<Record<PartialOp, true>> = {
  sum: true,
  count: true,
  min: true,
  max: true,
  avg: true,
  group: true,
};
const NOTE_KINDS: Readonly<Record<LeafNoteKind, true>> = {
  mixed_samples: true,
  mixed_schemas: true,
  ignored_histograms: true,
  not_counter: true,
  not_gauge: true,
  reconciled_addition: true,
  reconciled_subtraction: true,
  reconciled_aggregation: true,
  mixed_aggregation: true,
  ignored_in_aggregation: true,
  collided_aggregation: true,
  start_overlap: true,
  histogram_times: true,
  expired_to_1m: true,
  expired_to_1h: true,
  asked_for_1m: true,
  asked_for_1h: true,
  only_histograms: true,
};
const LEVEL_CHOICES: Readonly<Record<LevelChoice, true>> = { auto: true, raw: true, "1m": true, "1h": true };
const MATCH_TYPES: Readonly<Record<MatchType, true>> = { "=": true, "!=": true, "=~": true, "!~": true };

/** A name that this version knows. Errors: UnavailableError, because a newer caller is cured by an upgrade. */
function known<Name extends string>(names: Readonly<Record<Name, unknown>>, what: string, name: string): Name {
  if (Object.hasOwn(names, name)) return name as Name;
  throw new UnavailableError(
    `cannot evaluate ${what} ${JSON.stringify(name.slice(0, 80))}: got a name of a newer version; want this storage upgraded`,
  );
}

export function leafToMessage(leaf: Leaf): LeafMessage {
  return {
    matchers: leaf.matchers.map(matcherToMessage),
    startMs: leaf.grid.startMs,
    stepMs: leaf.grid.stepMs,
    stepCount: leaf.grid.count,
    rollup: leaf.rollup,
    rangeMs: leaf.rangeMs,
    offsetMs: leaf.offsetMs,
    arguments: leaf.args.map((a) =>
      typeof a === "number" ? { scalar: a } : { column: Buffer.from(a.buffer, a.byteOffset, a.byteLength) },
    ),
    dropName: leaf.dropName,
    aggregation: leaf.aggregation ?? null,
    useStarts: leaf.useStarts ?? false,
    countsOnly: leaf.countsOnly ?? false,
    level: leaf.level ?? "",
  };
}

/** Errors: InvalidError for a malformed leaf, UnavailableError for one that only a newer version understands. */
export function leafFromMessage(message: LeafMessage | null): Leaf {
  if (message === null) throw new InvalidError("cannot evaluate: got no leaf; want one");
  const { startMs, stepMs, stepCount, rangeMs, offsetMs } = message;
  for (const [name, value] of Object.entries({ startMs, stepMs, rangeMs, offsetMs })) {
    if (!Number.isFinite(value)) throw new InvalidError(`cannot evaluate leaf: got ${name} ${value}; want a number`);
  }
  if (stepCount === 0 || stepMs < 0 || stepCount > STEPS_MAX) {
    const want = `want 1 to ${STEPS_MAX}, in order`;
    throw new InvalidError(`cannot evaluate leaf: got ${stepCount} steps of ${stepMs} ms; ${want}`);
  }
  const rollup = known(ROLLUPS, "function", message.rollup);
  const args = message.arguments.map((a) => argumentFromMessage(a, stepCount));
  if (args.length < ROLLUPS[rollup]) {
    throw new InvalidError(`cannot evaluate leaf: got ${args.length} arguments of ${rollup}; want ${ROLLUPS[rollup]}`);
  }
  const aggregation = message.aggregation === null ? {} : { aggregation: aggregationFromMessage(message.aggregation) };
  return {
    matchers: message.matchers.map(matcherFromMessage),
    grid: { startMs, stepMs, count: stepCount },
    rollup,
    rangeMs,
    offsetMs,
    args,
    dropName: message.dropName,
    ...(message.useStarts ? { useStarts: true } : {}),
    ...(message.countsOnly ? { countsOnly: true } : {}),
    ...(message.level === "" ? {} : { level: known(LEVEL_CHOICES, "level", message.level) }),
    ...aggregation,
  };
}

function aggregationFromMessage({ op, without, labels }: AggregationMessage): LeafAggregation {
  return { op: known(PARTIAL_OPS, "aggregation", op), without, labels };
}

function argumentFromMessage(argument: ArgumentMessage, stepCount: number): number | Float64Array {
  if (argument.form === "scalar") return argument.scalar!;
  if (argument.form === "column" && argument.column!.length === 8 * stepCount) {
    const column = new Float64Array(stepCount);
    new Uint8Array(column.buffer).set(argument.column!);
    return column;
  }
  throw new InvalidError(
    `cannot evaluate leaf: got an argument of another form; want a number or ${stepCount} of them`,
  );
}

function matcherToMessage({ type, name, value }: Matcher): MatcherMessage {
  return { type, name, value };
}

function matcherFromMessage({ type, name, value }: MatcherMessage): Matcher {
  return { type: known(MATCH_TYPES, "matcher", type), name, value };
}

export function matchersToMessage(matchers: readonly Matcher[]): MatcherMessage[] {
  return matchers.map(matcherToMessage);
}

export function matchersFromMessage(matchers: readonly MatcherMessage[]): Matcher[] {
  return matchers.map(matcherFromMessage);
}

export function setsToMessage(sets: readonly (readonly Matcher[])[]): LookupRequest["sets"] {
  return sets.map((matchers) => ({ matchers: matchersToMessage(matchers) }));
}

export function setsFromMessage(sets: LookupRequest["sets"]): Matcher[][] {
  return sets.map(({ matchers }) => matchersFromMessage(matchers));
}

/** The notes that this version knows; a newer storage may have others. */
export function notesFromMessage(notes: readonly NoteMessage[]): LeafNote[] {
  return notes
    .filter(({ kind }) => Object.hasOwn(NOTE_KINDS, kind))
    .map(({ kind, metric, aggregated, count }) => ({ kind: kind as LeafNoteKind, metric, aggregated, count }));
}
