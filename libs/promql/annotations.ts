// libs/promql/annotations.ts: warnings and infos of a query, with Prometheus' texts and positions.
// Two annotations with the same text are one; the later one's position stays, as in Prometheus, and the first one's
// where it says how often.
import type { Position } from "./ast.ts";
import { formatGeneral } from "./go-text.ts";
import { lineAndColumn } from "./parse-error.ts";
import { quoteString } from "./quote.ts";

export type AnnotationKind = "warning" | "info";

/** Where and how much histogram_quantile had to repair counts that were not monotonic. */
interface Repair {
  minTimeMs: number;
  maxTimeMs: number;
  minBucket: number;
  maxBucket: number;
  maxDiff: number;
  samples: number;
}

interface Annotation {
  readonly kind: AnnotationKind;
  readonly text: string;
  /** Undefined for a storage's own warnings, which get no position. */
  readonly pos: Position | undefined;
  readonly repair: Repair | undefined;
  /** How often it occurred, where that is shown. */
  readonly occurrences: number;
}

const OVERLAP = "PromQL warning: sample has start time that overlaps with previous sample timestamp";

/** A set of annotations. Every node of a query fills its own; parents merge them in the order of evaluation. */
export class Annotations {
  readonly #entries = new Map<string, Annotation>();

  /** Adds a warning that already has its full text, from a storage. */
  addStorageWarning(text: string): void {
    this.#add({ kind: "warning", text, pos: undefined, repair: undefined, occurrences: 1 });
  }

  warn(text: string, pos: Position): void {
    this.#add({ kind: "warning", text: `PromQL warning: ${text}`, pos, repair: undefined, occurrences: 1 });
  }

  info(text: string, pos: Position): void {
    this.#add({ kind: "info", text: `PromQL info: ${text}`, pos, repair: undefined, occurrences: 1 });
  }

  /** Notes that a classic histogram's counts were made monotonic at one step. */
  repaired(metric: string, pos: Position, timeMs: number, minBucket: number, maxBucket: number, maxDiff: number): void {
    this.#add({
      kind: "info",
      text: `PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)${forMetricName(metric)}`,
      pos,
      repair: { minTimeMs: timeMs, maxTimeMs: timeMs, minBucket, maxBucket, maxDiff, samples: 1 },
      occurrences: 1,
    });
  }

  /** Notes that samples of a metric have start times before the sample before them. */
  overlapped(metric: string, pos: Position, occurrences: number): void {
    const text = `${OVERLAP} for metric ${quoteString(metric)}`;
    this.#add({ kind: "warning", text, pos, repair: undefined, occurrences });
  }

  merge(other: Annotations): void {
    for (const entry of other.#entries.values()) this.#add(entry);
  }

  /** The texts of one kind, each with ` (line:column)` in `query` where it has a position. */
  texts(kind: AnnotationKind, query: string): string[] {
    const out: string[] = [];
    for (const entry of this.#entries.values()) if (entry.kind === kind) out.push(render(entry, query));
    return out;
  }

  #add(entry: Annotation): void {
    const key = `${entry.kind} ${entry.text}`;
    const before = this.#entries.get(key);
    if (before?.repair && entry.repair) {
      this.#entries.set(key, { ...before, repair: joinRepairs(before.repair, entry.repair) });
      return;
    }
    if (before !== undefined && entry.text.startsWith(OVERLAP)) {
      this.#entries.set(key, { ...before, occurrences: before.occurrences + entry.occurrences });
      return;
    }
    this.#entries.set(key, entry);
  }
}

function joinRepairs(a: Repair, b: Repair): Repair {
  return {
    minTimeMs: Math.min(a.minTimeMs, b.minTimeMs),
    maxTimeMs: Math.max(a.maxTimeMs, b.maxTimeMs),
    minBucket: Math.min(a.minBucket, b.minBucket),
    maxBucket: Math.max(a.maxBucket, b.maxBucket),
    maxDiff: Math.max(a.maxDiff, b.maxDiff),
    samples: a.samples + b.samples,
  };
}

function render(entry: Annotation, query: string): string {
  if (query === "" || entry.pos === undefined) return entry.text;
  const place = lineAndColumn(query, entry.pos.start);
  const repair = entry.repair;
  if (entry.occurrences > 1) return `${entry.text} (${entry.occurrences} occurrences) (${place})`;
  if (repair === undefined) return `${entry.text} (${place})`;
  const from = formatGeneral(repair.minBucket);
  const to = formatGeneral(repair.maxBucket);
  const diff = formatGeneral(repair.maxDiff, 2);
  const first = rfc3339(repair.minTimeMs);
  const last = rfc3339(repair.maxTimeMs);
  return `${entry.text}, from buckets ${from} to ${to}, with a max diff of ${diff}, over ${repair.samples} samples from ${first} to ${last} (${place})`;
}

function rfc3339(timeMs: number): string {
  return `${new Date(Math.trunc(timeMs / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

/** ` for metric name "x"`, or nothing for an unknown name. */
export function forMetricName(name: string): string {
  return name === "" ? "" : ` for metric name ${quoteString(name)}`;
}

/** The warning about a φ outside [0, 1]. */
export function quantileWarning(phi: number): string {
  return `quantile value should be between 0 and 1, got ${formatGeneral(phi)}`;
}
