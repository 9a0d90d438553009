// test/promql/shards.test.ts: the same generated queries over 1, 2 and 64 storages behind the wire codec, with aggregations on storages and
// without: the same label sets in the same order, the same errors and notes, and the same bits; where sums are added in another
// order, the same numbers to 1e-12.
import { describe, expect, test } from "vitest";
import { AppError, labelValue, type QueryContext } from "../../libs/model/index.ts";
import { ALL_OPTIONS, Engine, ParseError } from "../../libs/promql/index.ts";
import { renderResult } from "../../services/select/json.ts";
import { Chance } from "./chance.ts";
import { QueryWriter } from "./generate.ts";
import { peerSeries, SPAN_MS } from "./peer-series.ts";
import { WiredQueryable } from "./wired-queryable.ts";

const QUERIES = Number(process.env.FUZZ_RUNS ?? 400);
const BASE_MS = 1_700_000_000_000 - (1_700_000_000_000 % 60_000);
const RELATIVE = 1e-12;
/** Their results depend on the order of additions. */
const ADDING = /\b(?:sum|avg|stddev|stdvar)\b/;

interface Side {
  readonly name: string;
  readonly engine: Engine;
  readonly storage: WiredQueryable;
}

interface Outcome {
  readonly error?: string;
  readonly answer?: unknown;
  readonly notes?: readonly string[];
}

function sideOf(shards: number, pushDown: boolean): Side {
  const storage = new WiredQueryable(shards);
  const series = peerSeries(new Chance(7), { baseMs: BASE_MS, modern: true, shiftMs: 0 });
  // Values near the largest number overflow or not by the order in which they are added.
  for (const one of series) if (labelValue(one.labels, "__name__") !== "odd") storage.store(one);
  const engine = new Engine({ now: () => 0, pushDown, parser: ALL_OPTIONS });
  return { name: `${shards} storages, ${pushDown ? "with" : "without"} push-down`, engine, storage };
}

const context: QueryContext = {
  ...{ tenant: "t", deadlineMs: Number.MAX_SAFE_INTEGER, samplesMax: 50e6 },
  signal: new AbortController().signal,
};

async function ask(
  { engine, storage }: Side,
  query: string,
  at: number,
  stepMs: number,
  steps: number,
): Promise<Outcome> {
  try {
    const { value, warnings, infos } =
      stepMs === 0
        ? await engine.instant(storage, query, at, context)
        : await engine.range(storage, query, at, at + steps * stepMs, stepMs, context);
    const json = Buffer.concat([...renderResult(value, "", { warnings: [], infos: [] })]).toString();
    return { answer: JSON.parse(json), notes: [...warnings, ...infos].sort() };
  } catch (error) {
    if (!(error instanceof AppError || error instanceof ParseError)) throw error;
    return { error: error.message };
  }
}

/** Where two outcomes differ; numbers, written as text, may differ by `relative`. */
function difference(a: unknown, b: unknown, relative: number, path = ""): string | undefined {
  if (a === b) return undefined;
  if (typeof a === "object" && typeof b === "object" && a !== null && b !== null) {
    const keys = Object.keys(a);
    if (JSON.stringify(keys) !== JSON.stringify(Object.keys(b))) return `${path}: ${keys} and ${Object.keys(b)}`;
    for (const key of keys) {
      const [x, y] = [(a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]];
      const found = difference(x, y, relative, `${path}/${key}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const [x, y] = [Number(a), Number(b)];
  const close = Math.abs(x - y) <= relative * Math.max(Math.abs(x), Math.abs(y));
  return typeof a === "string" && typeof b === "string" && close ? undefined : `${path}: ${a} and ${b}`;
}

describe("answers do not depend on where series live", () => {
  test(`${QUERIES} generated queries`, { timeout: 0 }, async () => {
    const whole = sideOf(1, false);
    const sides = [sideOf(1, true), sideOf(2, true), sideOf(2, false), sideOf(64, true), sideOf(64, false)];
    const chance = new Chance(64);
    const writer = new QueryWriter(chance, { modern: true, starts: false });
    const findings: string[] = [];
    let answered = 0;
    for (let n = 0; n < QUERIES; n++) {
      const at = BASE_MS + chance.below(SPAN_MS / 15_000 + 20) * 15_000;
      const query = writer.query().replaceAll("{T}", String((BASE_MS + chance.below(40) * 60_000) / 1000));
      const stepMs = chance.oneIn(2) ? 0 : chance.pick([15_000, 60_000, 47_000, 300_000]);
      const steps = chance.below(12);
      const want = await ask(whole, query, at, stepMs, steps);
      if (want.error === undefined && JSON.stringify(want.answer).includes('"metric"')) answered++;
      for (const side of sides) {
        const got = await ask(side, query, at, stepMs, steps);
        const found = difference(want, got, ADDING.test(query) ? RELATIVE : 0);
        if (found !== undefined) findings.push(`${side.name}: ${query} at ${at - BASE_MS} step ${stepMs}: ${found}`);
      }
    }
    expect(findings.join("\n")).toBe("");
    expect(answered).toBeGreaterThan(QUERIES / 2);
  });
});
