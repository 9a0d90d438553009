// services/cli/retention.ts: the text form of retention: a duration per level, `raw=30d,1m=1y,1h=5y`.
import { parseDurationMs } from "../../libs/runtime/index.ts";

/** How long each level of resolution is kept, in ms; Infinity: for ever. */
export interface Retention {
  readonly rawMs: number;
  readonly minuteMs: number;
  readonly hourMs: number;
}

export const DEFAULT_RETENTION = "raw=30d,1m=1y,1h=5y";
export const RETENTION_FORM =
  "raw=30d,1m=1y,1h=5y with durations or inf, each level once, none 0, none shorter than the one before";

/** A level left out has its default, or what the level before it has when that is longer. Undefined for any other form. */
export function parseRetention(text: string): Retention | undefined {
  const given = new Map<string, number>();
  for (const part of text.split(",")) {
    const [level, duration, ...more] = part.split("=");
    const ms = parseSpan(duration ?? "");
    if (ms === undefined || ms === 0 || more.length > 0 || !DEFAULTS.has(level!) || given.has(level!)) return undefined;
    given.set(level!, ms);
  }
  let previousMs = 0;
  const spans: number[] = [];
  for (const [level, defaultMs] of DEFAULTS) {
    const ms = given.get(level) ?? Math.max(defaultMs, previousMs);
    if (ms < previousMs) return undefined;
    spans.push(ms);
    previousMs = ms;
  }
  const [rawMs, minuteMs, hourMs] = spans as [number, number, number];
  return { rawMs, minuteMs, hourMs };
}

function parseSpan(text: string): number | undefined {
  return text === "inf" ? Number.POSITIVE_INFINITY : parseDurationMs(text);
}

/** Levels from fine to coarse. */
const DEFAULTS: ReadonlyMap<string, number> = new Map(
  DEFAULT_RETENTION.split(",").map((part) => {
    const [level, duration] = part.split("=") as [string, string];
    return [level, parseSpan(duration)!];
  }),
);
