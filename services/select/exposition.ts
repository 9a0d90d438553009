// services/select/exposition.ts: samples in Prometheus' text format 0.0.4, families one after the other, all untyped.
// Format: prometheus.io/docs/instrumenting/exposition_formats, with names quoted where they are no identifiers.
// Of native histograms only those with custom bounds have a form here, that of a classic histogram.
import { CUSTOM_SCHEMA, type FloatHistogram, type Labels, METRIC_NAME } from "../../libs/model/index.ts";
import { formatGeneral } from "../../libs/promql/index.ts";
import { type EscapingScheme, escapeName, isLegacyName } from "./name-escaping.ts";

/** The newest sample of a series. */
export interface ExposedSample {
  readonly name: string;
  readonly labels: Labels;
  readonly timeMs: number;
  readonly value: number;
  readonly histogram: FloatHistogram | undefined;
}

/** Lines are collected to about this many characters. */
const CHUNK_LENGTH = 1 << 16;
/** Labels of the answering server that samples get when they lack them; it has none, so this one becomes empty. */
export const INSTANCE = "instance";

export function expositionType(scheme: EscapingScheme): string {
  return `text/plain; version=0.0.4; charset=utf-8; escaping=${scheme}`;
}

/** The samples, which are ordered by name, as chunks of text. */
export function* renderExposition(samples: readonly ExposedSample[], scheme: EscapingScheme): Generator<Uint8Array> {
  let text = "";
  let family = "";
  for (const sample of samples) {
    const { name, histogram, value } = sample;
    if (histogram !== undefined && histogram.layout.schema !== CUSTOM_SCHEMA) continue;
    const type = histogram === undefined ? "untyped" : "histogram";
    if (family !== `${type} ${name}`) text += `# TYPE ${quoted(escapeName(name, scheme))} ${type}\n`;
    family = `${type} ${name}`;
    text += histogram === undefined ? line(sample, "", "", value, scheme) : histogramLines(sample, histogram, scheme);
    if (text.length < CHUNK_LENGTH) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

/** `extra` is a last label, with its comma. */
function line(sample: ExposedSample, suffix: string, extra: string, value: number, scheme: EscapingScheme): string {
  const { name, labels, timeMs } = sample;
  const full = escapeName(name, scheme) + suffix;
  const inside = isLegacyName(full) ? "" : `${quoted(full)},`;
  let pairs = "";
  let hasInstance = false;
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] === METRIC_NAME) continue;
    hasInstance ||= labels[i] === INSTANCE;
    pairs += `,${quoted(escapeName(labels[i]!, scheme))}="${escapeValue(labels[i + 1]!)}"`;
  }
  if (!hasInstance) pairs += `,${INSTANCE}=""`;
  return `${inside === "" ? full : ""}{${inside}${pairs.slice(1)}${extra}} ${number(value)} ${timeMs}\n`;
}

function histogramLines(sample: ExposedSample, histogram: FloatHistogram, scheme: EscapingScheme): string {
  const { layout, buckets, count, sum } = histogram;
  const { bounds, positive } = layout;
  let text = "";
  let below = 0;
  for (let bound = 0, at = 0; bound < bounds.length; bound++) {
    while (at < positive.length && positive[at]! < bound) at++;
    if (positive[at] === bound) below += buckets[at]!;
    text += line(sample, "_bucket", `,le="${number(bounds[bound]!)}"`, below, scheme);
  }
  text += line(sample, "_bucket", ',le="+Inf"', count, scheme);
  return text + line(sample, "_sum", "", sum, scheme) + line(sample, "_count", "", count, scheme);
}

function quoted(name: string): string {
  return isLegacyName(name) ? name : `"${escapeValue(name)}"`;
}

function escapeValue(value: string): string {
  return /[\\\n"]/.test(value) ? value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"') : value;
}

function number(value: number): string {
  return value === 0 ? "0" : formatGeneral(value);
}
