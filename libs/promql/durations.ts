// libs/promql/durations.ts: Prometheus' duration text (`1h30m`), both ways.
// A duration has days of 24 h, weeks of 7 d and years of 365 d; its units descend and each occurs once.
// Reference: prometheus/common model.ParseDuration and Duration.String.
import { InvalidError } from "../model/index.ts";
import { quoteString } from "./quote.ts";

/** Units from long to short, in ms. */
const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ["y", 365 * 86_400_000],
  ["w", 7 * 86_400_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

/** Prometheus keeps durations as nanoseconds in 63 bits, about 292 years: the longest duration in seconds and ms. */
export const DURATION_SECONDS_MAX = 2 ** 63 / 1e9;
const DURATION_MS_MAX = 2 ** 63 / 1e6;

/** Why a text is no duration, in Prometheus' words; or its length in ms. */
export function readDuration(text: string): number | string {
  if (text === "0") return 0;
  if (text === "") return "empty duration string";
  const invalid = `not a valid duration string: ${quoteString(text)}`;
  const part = /([0-9]+)([^0-9]+)/y;
  let total = 0;
  let unitAfter = 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null || !fitsUint64(match[1]!)) return invalid;
    const unit = UNITS.findIndex(([name]) => name === match[2]);
    if (unit < 0) return `unknown unit ${quoteString(match[2]!)} in duration ${quoteString(text)}`;
    if (unit < unitAfter) return invalid;
    unitAfter = unit + 1;
    total += Number(match[1]) * UNITS[unit]![1];
    if (total >= DURATION_MS_MAX) return "duration out of range";
  }
  return total;
}

function fitsUint64(digits: string): boolean {
  if (digits.length < 20) return true;
  const significant = digits.replace(/^0+/, "");
  return significant.length < 20 || (significant.length === 20 && significant <= "18446744073709551615");
}

/** Parses a duration such as `1h30m`, `15s` or `0`; answers ms. Errors: InvalidError in Prometheus' words. */
export function parseDuration(text: string): number {
  const result = readDuration(text);
  if (typeof result === "string") throw new InvalidError(result);
  return result;
}

/** ms as Prometheus prints them: years and weeks only when nothing remains (`90d`, not `12w6d`); a sign for negatives. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  let rest = ms;
  let out = "";
  for (const [name, length] of UNITS) {
    const exactOnly = name === "y" || name === "w";
    if (exactOnly && rest % length !== 0) continue;
    const count = Math.floor(rest / length);
    if (count === 0) continue;
    out += count + name;
    rest -= count * length;
  }
  return out;
}

/**
 * Seconds to whole ms as Prometheus does it: rounded to nanoseconds, then cut to ms. `exact` says that nothing was
 * lost, so that the ms alone print back to the same duration.
 */
export function secondsToMs(seconds: number): { readonly ms: number; readonly exact: boolean } {
  // Below 2^53 ns the rounding is exact; above it, nanoseconds are not representable and do not matter.
  const nanoseconds = Math.round(Math.abs(seconds) * 1e9);
  const ms = Math.trunc(nanoseconds / 1e6);
  const signed = seconds < 0 && ms !== 0 ? -ms : ms;
  return { ms: signed, exact: nanoseconds === ms * 1e6 };
}
