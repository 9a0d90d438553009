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

// Records, so that the compiler asks for a line when the model gains a name.
const ROLLUPS: Readonly<Record<Rollup, true>> = {
  last: true,
  timestamp: true,
  start_timestamp: true,
  rate: true,
  increase: true,
  delta: true,
  irate: true,
  idelta: true,
  deriv: true,
  predict_linear: true,
  changes: true,
  resets: true,
  avg_over_time: true,
  min_over_time: true,
  max_over_time: true,
  sum_over_time: true,
  count_over_time: true,
  stddev_over_time: true,
  stdvar_over_time: true,
  quantile_over_time: true,
  mad_over_time: true,
  last_over_time: true,
  first_over_time: true,
  present_over_time: true,
  double_exponential_smoothing: true,
  ts_of_min_over_time: true,
  ts_of_max_over_time: true,
  ts_of_last_over_time: true,
  ts_of_first_over_time: true,
  rate_anchored: true,
  increase_anchored: true,
  delta_anchored: true,
  changes_anchored: true,
  resets_anchored: true,
  rate_smoothed: true,
  increase_smoothed: true,
  delta_smoothed: true,
  last_smoothed: true,
  samples: true,
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
function known<Name extends string>(names: Readonly<Record<Name, true>>, what: string, name: string): Name {
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
  if (stepCount === 0 || stepMs < 0) {
    throw new InvalidError(`cannot evaluate leaf: got ${stepCount} steps of ${stepMs} ms; want at least one, in order`);
  }
  const aggregation = message.aggregation === null ? {} : { aggregation: aggregationFromMessage(message.aggregation) };
  return {
    matchers: message.matchers.map(matcherFromMessage),
    grid: { startMs, stepMs, count: stepCount },
    rollup: known(ROLLUPS, "function", message.rollup),
    rangeMs,
    offsetMs,
    args: message.arguments.map((a) => argumentFromMessage(a, stepCount)),
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
