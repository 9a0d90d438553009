// services/insert/canonical.ts: the label bytes of a series as a client encoded them → its series key, or why not.
// Runs once per new series, and again for every series that is refused. Invariant: a key that leaves this file is what
// encodeSeriesKey would write for the same labels; equal series get equal keys whatever the client's encoding was.
import { isAscii, isUtf8 } from "node:buffer";
import { encodeKeyParts } from "../../libs/model/index.ts";
import { type InsertLimits, LIMIT_FLAGS } from "./limits.ts";
import { FieldReader } from "./wire.ts";

/** Why a series is refused for its labels alone. */
export type LabelFault =
  | "no-name" // no metric name
  | "empty-name" // a label without a name
  | "duplicate-name"
  | "utf8"
  | "label-limit"; // too many, or one too long

export interface RefusedLabels {
  readonly fault: LabelFault;
  /** What is wrong, to go in front of the label set. */
  readonly text: string;
}

const NAME_FIELD = 1;
const VALUE_FIELD = 2;
const METRIC_NAME = Buffer.from("__name__");
const EMPTY = new Uint8Array(0);
const PLAIN_BYTES_MAX = 64;

/**
 * Names and values, in turn, of consecutive `labels` fields as remote write 1.0 encodes them; views into `bytes`.
 * Of a name or value that is given twice in one label the last counts, as protobuf has it.
 * Errors: InvalidError for malformed bytes.
 */
export function readLabelPairs(bytes: Uint8Array): Uint8Array[] {
  const pairs: Uint8Array[] = [];
  const fields = new FieldReader(bytes);
  while (fields.next()) {
    const [name, value] = readLabel(fields.bytes);
    pairs.push(name, value);
  }
  return pairs;
}

/** Name and value of a Label message; likewise. */
export function readLabel(message: Uint8Array): readonly [name: Uint8Array, value: Uint8Array] {
  let name: Uint8Array = EMPTY;
  let value: Uint8Array = EMPTY;
  const label = new FieldReader(message);
  while (label.next()) {
    if (!label.isBytes) continue;
    if (label.field === NAME_FIELD) name = label.bytes;
    else if (label.field === VALUE_FIELD) value = label.bytes;
  }
  return [name, value];
}

/**
 * The series key of these labels: sorted, without empty values. `pairs` is name, value, … in any order.
 * The order of the checks decides which fault is named; the first found is enough.
 */
export function canonicalKey(
  tenant: Uint8Array,
  pairs: readonly Uint8Array[],
  limits: InsertLimits,
): Uint8Array | RefusedLabels {
  const fault = checkLimits(pairs, limits) ?? checkText(pairs);
  if (fault !== undefined) return fault;
  const order = sortedOrder(pairs);
  const parts: Uint8Array[] = [tenant];
  let named = false;
  for (let i = 0; i < order.length; i++) {
    const name = pairs[order[i]!]!;
    const value = pairs[order[i]! + 1]!;
    if (name.length === 0) return { fault: "empty-name", text: "a label has no name" };
    // An empty value makes a name no less repeated: a client that sends both means one of them.
    if (i > 0 && compareBytes(name, pairs[order[i - 1]!]!) === 0) {
      return { fault: "duplicate-name", text: `label name ${quote(name)} occurs twice` };
    }
    if (value.length === 0) continue;
    named ||= compareBytes(name, METRIC_NAME) === 0;
    parts.push(name, value);
  }
  if (!named) return { fault: "no-name", text: "there is no metric name (__name__)" };
  return encodeKeyParts(parts);
}

function checkLimits(pairs: readonly Uint8Array[], limits: InsertLimits): RefusedLabels | undefined {
  const tooMuch = (text: string, limit: keyof InsertLimits): RefusedLabels => {
    return { fault: "label-limit", text: `${text}; want at most ${limits[limit]} (${LIMIT_FLAGS[limit]})` };
  };
  if (pairs.length / 2 > limits.labelsMax) return tooMuch(`there are ${pairs.length / 2} labels`, "labelsMax");
  let total = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i]!.length;
    const value = pairs[i + 1]!.length;
    if (name > limits.labelNameMaxBytes) return tooMuch(`a label name has ${name} bytes`, "labelNameMaxBytes");
    if (value > limits.labelValueMaxBytes) return tooMuch(`a label value has ${value} bytes`, "labelValueMaxBytes");
    total += name + value;
  }
  if (total > limits.seriesKeyMaxBytes) return tooMuch(`its labels have ${total} bytes`, "seriesKeyMaxBytes");
  return undefined;
}

function checkText(pairs: readonly Uint8Array[]): RefusedLabels | undefined {
  for (let i = 0; i < pairs.length; i++) {
    if (isPlain(pairs[i]!) || isUtf8(pairs[i]!)) continue;
    const what = i % 2 === 0 ? "a label name" : `the value of label ${quote(pairs[i - 1]!)}`;
    return { fault: "utf8", text: `${what} is not UTF-8` };
  }
  return undefined;
}

/** Indices of the names in byte order. Clients nearly always send them sorted. */
function sortedOrder(pairs: readonly Uint8Array[]): number[] {
  const order: number[] = [];
  let sorted = true;
  for (let i = 0; i < pairs.length; i += 2) {
    if (i > 0 && sorted) sorted = compareBytes(pairs[i - 2]!, pairs[i]!) <= 0;
    order.push(i);
  }
  return sorted ? order : order.sort((a, b) => compareBytes(pairs[a]!, pairs[b]!));
}

// Names and values are short: a loop ends before a call into another language has begun.

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** Whether this is ASCII, and short enough to look. */
function isPlain(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length > PLAIN_BYTES_MAX) return false;
  let all = 0;
  for (let i = 0; i < length; i++) all |= bytes[i]!;
  return all < 0x80;
}

const SHOWN_TEXT_MAX = 64;
const SHOWN_SET_MAX = 240;

/** Text in quotes, control characters escaped, long ones cut. Bytes that are not UTF-8 show as U+FFFD. */
function quote(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, SHOWN_TEXT_MAX)).toString();
  return `${JSON.stringify(shown)}${bytes.length > SHOWN_TEXT_MAX ? "…" : ""}`;
}

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A label set for an error text: `{name="value", …}`, cut to a line's length. */
export function showLabels(pairs: readonly Uint8Array[]): string {
  let shown = "";
  for (let i = 0; i < pairs.length; i += 2) {
    if (shown.length > SHOWN_SET_MAX) return `{${shown.slice(0, SHOWN_SET_MAX)}…}`;
    const name = pairs[i]!;
    const plain = name.length <= SHOWN_TEXT_MAX && isAscii(name) && PLAIN_NAME.test(Buffer.from(name).toString());
    shown += `${i > 0 ? ", " : ""}${plain ? Buffer.from(name).toString() : quote(name)}=${quote(pairs[i + 1]!)}`;
  }
  return `{${shown}}`;
}
