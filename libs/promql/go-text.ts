// libs/promql/go-text.ts: numbers, strings and label sets written as Go writes them, where label values and messages need it.
import type { Labels } from "../model/index.ts";

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "NaN";
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return undefined;
}

/** Go's FormatFloat(x, 'f', -1, 64): shortest digits, never an exponent. */
export function formatPlain(value: number): string {
  const odd = special(value);
  if (odd !== undefined) return odd;
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const text = String(Math.abs(value));
  const parts = /^(\d+)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (parts === null) return sign + text;
  const digits = parts[1]! + (parts[2] ?? "");
  const point = parts[1]!.length + Number(parts[3]);
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (point >= digits.length) return sign + digits.padEnd(point, "0");
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Go's %g and %v, or %.Ng with `precision`: an exponent below -4, and from the precision (6 without one) on. */
export function formatGeneral(value: number, precision?: number): string {
  const odd = special(value);
  if (odd !== undefined) return odd;
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const rounded = precision === undefined ? value : Number(value.toPrecision(precision));
  const [mantissa, exponentText] = rounded.toExponential().split("e") as [string, string];
  const exponent = Number(exponentText);
  const digits = mantissa.replace(/[-.]/g, "").length;
  let limit = precision ?? 6;
  if (precision !== undefined && limit > digits && digits > exponent) limit = digits;
  if (exponent >= -4 && exponent < limit) return formatPlain(rounded);
  const size = Math.abs(exponent) < 10 ? `0${Math.abs(exponent)}` : `${Math.abs(exponent)}`;
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
}

/** OpenMetrics' form of a float, used for quantile labels: integers get a ".0", and -0 is 0. */
export function formatOpenMetrics(value: number): string {
  const odd = special(value);
  if (odd !== undefined) return odd;
  const text = formatGeneral(value === 0 ? 0 : value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\u0007", "\\a"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\v", "\\v"],
  ["\\", "\\\\"],
  ['"', '\\"'],
]);
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Go's strconv.Quote. A lone surrogate is no character: Go would hold U+FFFD there. */
export function quote(text: string): string {
  let out = '"';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const escaped = ESCAPES.get(character);
    if (escaped !== undefined) out += escaped;
    else if (PRINTABLE.test(character)) out += character;
    else if (code >= 0xd800 && code <= 0xdfff) out += "\uFFFD";
    else if (code < 0x80) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 0x10000) out += `\\u${code.toString(16).padStart(4, "0")}`;
    else out += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return `${out}"`;
}

/** A label set as error messages show it: `{a="b", c="d"}`. */
export function formatLabels(labels: Labels): string {
  const parts: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    const name = labels[i]!;
    parts.push(`${/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quote(name)}=${quote(labels[i + 1]!)}`);
  }
  return `{${parts.join(", ")}}`;
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const HEXADECIMAL = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?\d+)$/;

/** Go's ParseFloat: undefined for what it refuses, out-of-range numbers included. */
export function parseFloatGo(text: string): number | undefined {
  if (DECIMAL.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(text);
  if (infinite) return infinite[1] === "-" ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return Number.NaN;
  const hex = HEXADECIMAL.exec(text);
  if (!hex || hex[2]! + hex[3]! === "") return undefined;
  const magnitude = Number.parseInt(`0${hex[2]}${hex[3]}`, 16) * 2 ** (Number(hex[4]) - 4 * hex[3]!.length);
  if (!Number.isFinite(magnitude)) return undefined;
  return hex[1] === "-" ? -magnitude : magnitude;
}
