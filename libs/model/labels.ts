// libs/model/labels.ts: label sets, their order, and their canonical text form inside a process.
// Invariant: a Labels value is flat [name0, value0, name1, value1, …], sorted by the names' UTF-8 bytes, no name
// twice, no empty value (an empty value means "no such label" everywhere in Prometheus' data model).
import { InvalidError } from "./errors.ts";

/** An immutable label set: flat name, value pairs, sorted by name. See the file header for the invariant. */
export type Labels = readonly string[];

export const METRIC_NAME = "__name__";
export const EMPTY_LABELS: Labels = Object.freeze([]) as Labels;

// A lone surrogate never occurs in text decoded from UTF-8, so it separates without escaping.
const SEPARATOR = "\uD800";

/** Compares two strings as their UTF-8 bytes would compare (code point order; JS `<` is UTF-16 order). */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0;
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates (supplementary planes) sort after every other UTF-16 unit.
    const xs = x >= 0xd800 && x <= 0xdfff;
    const ys = y >= 0xd800 && y <= 0xdfff;
    if (xs !== ys) return xs ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/**
 * Builds a label set from pairs in any order. Empty values are dropped.
 * Errors: InvalidError when a name is empty or occurs twice, with an empty value as well.
 */
export function labelsFromPairs(pairs: Iterable<readonly [string, string]>): Labels {
  const sorted = [...pairs].sort((a, b) => compareUtf8(a[0], b[0]));
  const flat: string[] = [];
  for (let i = 0; i < sorted.length; i++) {
    const [name, value] = sorted[i]!;
    if (name === "") throw new InvalidError("cannot use label set: got an empty label name; want a name");
    if (i > 0 && sorted[i - 1]![0] === name) {
      throw new InvalidError(`cannot use label set: got label name ${JSON.stringify(name)} twice; want it once`);
    }
    if (value !== "") flat.push(name, value);
  }
  return flat;
}

/** Builds a label set from an object's own entries. Same rules as labelsFromPairs. */
export function labelsFromRecord(record: Readonly<Record<string, string>>): Labels {
  return labelsFromPairs(Object.entries(record));
}

/** The value of `name`, or "" when the label is absent. */
export function labelValue(labels: Labels, name: string): string {
  for (let i = 0; i < labels.length; i += 2) if (labels[i] === name) return labels[i + 1]!;
  return "";
}

/** Label-by-label order: name, then value, then length. The order of matrices in Prometheus' API. */
export function compareLabels(a: Labels, b: Labels): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const c = compareUtf8(a[i]!, b[i]!);
    if (c !== 0) return c;
  }
  return a.length - b.length;
}

export function equalLabels(a: Labels, b: Labels): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** One string that equals another set's string exactly when the sets are equal. For Map keys; never stored. */
export function labelsKey(labels: Labels): string {
  return labels.join(SEPARATOR);
}

/** The set without the given names. */
export function withoutLabels(labels: Labels, names: ReadonlySet<string>): Labels {
  const out: string[] = [];
  for (let i = 0; i < labels.length; i += 2) if (!names.has(labels[i]!)) out.push(labels[i]!, labels[i + 1]!);
  return out;
}

/** The set restricted to the given names. */
export function onlyLabels(labels: Labels, names: ReadonlySet<string>): Labels {
  const out: string[] = [];
  for (let i = 0; i < labels.length; i += 2) if (names.has(labels[i]!)) out.push(labels[i]!, labels[i + 1]!);
  return out;
}

/** The set with `name` set to `value`; an empty value removes the label. */
export function setLabel(labels: Labels, name: string, value: string): Labels {
  const out: string[] = [];
  let placed = value === "";
  for (let i = 0; i < labels.length; i += 2) {
    const n = labels[i]!;
    if (n === name) continue;
    if (!placed && compareUtf8(n, name) > 0) {
      out.push(name, value);
      placed = true;
    }
    out.push(n, labels[i + 1]!);
  }
  if (!placed) out.push(name, value);
  return out;
}

/** A plain object for JSON. Null prototype, so that a label named `__proto__` is an ordinary key. */
export function labelsToRecord(labels: Labels): Record<string, string> {
  const out: Record<string, string> = Object.create(null);
  for (let i = 0; i < labels.length; i += 2) out[labels[i]!] = labels[i + 1]!;
  return out;
}
