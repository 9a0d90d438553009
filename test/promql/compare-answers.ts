// test/promql/compare-answers.ts: whether two answers of the query API say the same.
// Numbers may differ by rounding, series come in any order. Warnings and infos are compared where the peer words them as
// we do, and where none were left out.
import type { Answer } from "./peer.ts";

const RELATIVE = 1e-9;
/** Differences of numbers of this size come from what cancelled out. */
const ABSOLUTE = 1e-9;
const NOTES_MAX = 10;

/** Undefined when they agree, else what differs. */
export function difference(theirs: Answer, ours: Answer, notes: boolean): string | undefined {
  if (theirs.status !== ours.status) return `status: ${brief(theirs)} and ${brief(ours)}`;
  if (theirs.status !== "success") {
    const same = !notes || errorKind(theirs.error) === errorKind(ours.error);
    return same ? undefined : `error: ${theirs.error} and ${ours.error}`;
  }
  const a = theirs.data!;
  const b = ours.data!;
  if (a.resultType !== b.resultType) return `type: ${a.resultType} and ${b.resultType}`;
  const data =
    a.resultType === "scalar" || a.resultType === "string"
      ? pointDifference(a.result, b.result)
      : seriesDifference(a.result as Series[], b.result as Series[]);
  if (data !== undefined || !notes) return data;
  return (
    noteDifference("warnings", theirs.warnings, ours.warnings) ?? noteDifference("infos", theirs.infos, ours.infos)
  );
}

interface Series {
  readonly metric: Record<string, string>;
  readonly value?: readonly unknown[];
  readonly values?: readonly (readonly unknown[])[];
  readonly histogram?: readonly unknown[];
  readonly histograms?: readonly (readonly unknown[])[];
}

function brief(answer: Answer): string {
  return answer.error ?? JSON.stringify(answer.data).slice(0, 200);
}

const AMBIGUOUS = /^(?:found duplicate series|multiple matches for labels|vector cannot contain metrics)/;

/** The text without what the HTTP API puts before it. Of several ambiguities it is open which one is found first. */
function errorKind(error: string | undefined): string {
  const text = (error ?? "").replace(/^invalid parameter "query": /, "");
  return AMBIGUOUS.test(text) ? "ambiguous" : text;
}

function keyOf({ metric }: Series): string {
  return JSON.stringify(Object.entries(metric).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function seriesDifference(theirs: readonly Series[], ours: readonly Series[]): string | undefined {
  const byKey = new Map(ours.map((series) => [keyOf(series), series]));
  for (const series of theirs) {
    const other = byKey.get(keyOf(series));
    if (other === undefined) return `only theirs: ${JSON.stringify(series).slice(0, 300)}`;
    byKey.delete(keyOf(series));
    for (const field of ["value", "histogram"] as const) {
      const found = pointDifference(series[field], other[field]);
      if (found !== undefined) return `${keyOf(series)} ${found}`;
    }
    for (const field of ["values", "histograms"] as const) {
      const [x, y] = [series[field] ?? [], other[field] ?? []];
      if (x.length !== y.length) {
        return `${keyOf(series)} ${field}: ${JSON.stringify(x).slice(0, 300)} and ${JSON.stringify(y).slice(0, 300)}`;
      }
      for (let i = 0; i < x.length; i++) {
        const found = pointDifference(x[i], y[i]);
        if (found !== undefined) return `${keyOf(series)} ${found}`;
      }
    }
  }
  const [left] = byKey.values();
  return left === undefined ? undefined : `only ours: ${JSON.stringify(left).slice(0, 300)}`;
}

/** Points, and whatever is in them, number by number. */
function pointDifference(a: unknown, b: unknown): string | undefined {
  return sameValue(a, b) ? undefined : `${JSON.stringify(a)?.slice(0, 300)} and ${JSON.stringify(b)?.slice(0, 300)}`;
}

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a === "object" && typeof b === "object" && a !== null && b !== null) {
    const keys = Object.keys(a);
    return (
      keys.length === Object.keys(b).length &&
      keys.every((key) => sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
    );
  }
  if (a === b) return true;
  if (typeof a !== typeof b) return false;
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) && Number.isNaN(y);
  return Math.abs(x - y) <= Math.max(RELATIVE * Math.max(Math.abs(x), Math.abs(y)), ABSOLUTE);
}

function noteDifference(
  kind: string,
  theirs: readonly string[] = [],
  ours: readonly string[] = [],
): string | undefined {
  if (theirs.length > NOTES_MAX || ours.length > NOTES_MAX) return undefined;
  const texts = ours.map(withoutTally);
  const same = theirs.length === ours.length && theirs.every((note) => texts.includes(withoutTally(note)));
  return same ? undefined : `${kind}: ${theirs.join("; ")} and ${ours.join("; ")}`;
}

/** Prometheus counts repaired samples again at every later step of a range. */
function withoutTally(note: string): string {
  return note.replace(/over \d+ samples/, "over samples");
}
