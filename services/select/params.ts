// services/select/params.ts: the values of request parameters, with Prometheus' defaults and error texts.
// Source of the rules and texts: Prometheus 3.14's HTTP API.
import { InvalidError } from "../../libs/model/index.ts";
import { parseFloatGo, quote } from "../../libs/promql/index.ts";
import { parseDurationMs } from "../../libs/runtime/index.ts";
import type { Form } from "./form.ts";

/** The bounds of time as clients write them when they mean "all of it"; Go's own, beyond four-digit years. */
const MIN_TIME_TEXT = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT = "292277025-08-18T07:12:54.999999999Z";
/** All of time, in ms: what Tidemark can store. */
export const MIN_TIME_MS = -Number.MAX_SAFE_INTEGER;
export const MAX_TIME_MS = Number.MAX_SAFE_INTEGER;

const TIME_FORM = /^(\d{4})-(\d{2})-(\d{2})T(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:Z|([+-])(\d{2}):(\d{2}))$/;

/** `invalid parameter "name": …` */
export function invalidParameter(name: string, reason: string): InvalidError {
  return new InvalidError(`invalid parameter ${quote(name)}: ${reason}`);
}

/** Unix seconds (rounded to ms) or RFC 3339 in ms, within ±2^53; undefined for any other text. */
export function parseTimeMs(text: string): number | undefined {
  const t = parseGoFloat(text);
  if (t !== undefined && Number.isFinite(t)) {
    const seconds = Math.trunc(t);
    const fraction = Math.round(Math.abs(t - seconds) * 1000);
    return clampTime(seconds * 1000 + (t < 0 ? -fraction : fraction));
  }
  if (text === MIN_TIME_TEXT) return MIN_TIME_MS;
  if (text === MAX_TIME_TEXT) return MAX_TIME_MS;
  const parts = TIME_FORM.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const zoneHour = Number(parts[9] ?? 0);
  const zoneMinute = Number(parts[10] ?? 0);
  if (hour > 23 || minute > 59 || second > 59 || zoneHour > 24 || zoneMinute > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day or a month out of range would move on to the next month.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const ms =
    date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + Number((parts[7] ?? "").slice(0, 3).padEnd(3, "0"));
  const zoneMs = (zoneHour * 60 + zoneMinute) * 60_000;
  return parts[8] === "-" ? ms + zoneMs : ms - zoneMs;
}

/** Go's ParseFloat, underscores between digits included. */
function parseGoFloat(text: string): number | undefined {
  return parseFloatGo(text.replace(/(?<=[\da-fA-F])_(?=[\da-fA-F])/g, ""));
}

function clampTime(ms: number): number {
  // `+ 0` turns -0 into 0.
  return Math.min(MAX_TIME_MS, Math.max(MIN_TIME_MS, ms)) + 0;
}

function unparsableTime(text: string): string {
  return `cannot parse ${quote(text)} to a valid timestamp`;
}

/** A time that may be left out. */
export function timeParameter(form: Form, name: string, fallbackMs: number): number {
  const text = form.get(name);
  if (text === "") return fallbackMs;
  const ms = parseTimeMs(text);
  if (ms === undefined) throw invalidParameter(name, `invalid time value for '${name}': ${unparsableTime(text)}`);
  return ms;
}

/** A time that must be there. Its error text is shorter, as in Prometheus. */
export function requiredTimeParameter(form: Form, name: string): number {
  const text = form.get(name);
  const ms = parseTimeMs(text);
  if (ms === undefined) throw invalidParameter(name, unparsableTime(text));
  return ms;
}

/** Seconds or a Prometheus duration in ms. Errors: InvalidError with Prometheus' reason alone. */
export function parseDurationText(text: string): number {
  const seconds = parseGoFloat(text);
  if (seconds !== undefined) {
    if (Math.abs(seconds) * 1e9 > 2 ** 63) {
      throw new InvalidError(`cannot parse ${quote(text)} to a valid duration. It overflows int64`);
    }
    return seconds * 1000;
  }
  const ms = parseDurationMs(text);
  // Prometheus holds nanoseconds in 63 bits.
  if (ms === undefined || ms * 1e6 >= 2 ** 63)
    throw new InvalidError(`cannot parse ${quote(text)} to a valid duration`);
  return ms;
}

/** A duration parameter that must be there. */
export function durationParameter(form: Form, name: string): number {
  try {
    return parseDurationText(form.get(name));
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter(name, error.message) : error;
  }
}

/** `limit`: a whole number ≥ 0; 0, also when it is left out, means no limit. */
export function limitParameter(form: Form): number {
  const text = form.get("limit");
  if (text === "") return 0;
  const limit = parseGoInteger(text);
  if (typeof limit === "string") throw invalidParameter("limit", limit);
  if (limit < 0) throw invalidParameter("limit", "limit must be non-negative");
  return limit;
}

/** A whole number as Go reads it, or why it is none, in Go's words. */
export function parseGoInteger(text: string): number | string {
  const refusal = `strconv.Atoi: parsing ${quote(text)}: `;
  if (!/^[+-]?\d+$/.test(text)) return `${refusal}invalid syntax`;
  const n = BigInt(text.replace("+", ""));
  return BigInt.asIntN(64, n) === n ? Number(n) : `${refusal}value out of range`;
}

/** A count; 0, negative or left out: all. */
export function countParameter(text: string, name: string): number {
  const n = text === "" ? 0 : parseGoInteger(text);
  if (typeof n === "string") throw new InvalidError(`${name} must be a number`);
  return Math.max(0, n);
}

/** The real name behind a label name in a path: `U__http_2e_status` is `http.status`; any other text is itself. */
export function unescapeLabelName(name: string): string {
  if (!name.startsWith("U__")) return name;
  let out = "";
  const body = name.slice(3);
  for (let i = 0; i < body.length; ) {
    if (body[i] !== "_") {
      out += body[i++];
      continue;
    }
    const coded = /^_(?:_|([0-9A-Fa-f]{1,6})_)/.exec(body.slice(i, i + 8));
    if (coded === null) return name;
    const code = coded[1] === undefined ? 0x5f : Number.parseInt(coded[1], 16);
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return name;
    out += String.fromCodePoint(code);
    i += coded[0].length;
  }
  return out;
}
