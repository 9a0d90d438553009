// test/promql/language.test.ts: a real Prometheus and ours parse and format the same queries: trees, lines, error texts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ALL_OPTIONS, ParseError, parseExpr, prettyExpr } from "../../libs/promql/index.ts";
import { renderTree } from "../../services/select/query-tree.ts";
import {
  findEqualPrometheus,
  LANGUAGE_FEATURES,
  type RealPrometheus,
  startPrometheus,
} from "../e2e/real-prometheus.ts";
import { CORPUS_MISSING, corpusQueries } from "../unit/promql/corpus.ts";
import { Chance } from "./chance.ts";
import { QueryWriter } from "./generate.ts";

const command = findEqualPrometheus();
const GENERATED = 1500;
const IN_FLIGHT = 8;

/** Written by us where Prometheus' own text, or tree, would not read back: see the "otherwise" cases of the printer's test. */
const OTHERWISE = /info\([^)]*\{\}\)|\bInf \^/;
/** Parentheses behind an offset that the query did not have. */
const addsParentheses = (query: string, text: string): boolean => /offset \(/.test(text) && !/offset\s*\(/i.test(query);

const UNRENDERED = Symbol("unrendered");

let prometheus: RealPrometheus;

async function theirs(endpoint: string, query: string): Promise<unknown> {
  const response = await fetch(`${prometheus.url}/api/v1/${endpoint}`, {
    method: "POST",
    body: new URLSearchParams({ query }),
  });
  // Its JSON has no place for the fill value NaN.
  if (response.status === 500) return UNRENDERED;
  const { data, error } = (await response.json()) as { data?: unknown; error?: string };
  return data ?? error;
}

function ours(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof ParseError) return `invalid parameter "query": ${error.message}`;
    throw error;
  }
}

/** The differences, a few at a time, as lines. */
async function differences(queries: readonly string[]): Promise<string[]> {
  const out: string[] = [];
  for (let i = 0; i < queries.length; i += IN_FLIGHT) {
    await Promise.all(
      queries.slice(i, i + IN_FLIGHT).map(async (query) => {
        const [tree, text] = await Promise.all([theirs("parse_query", query), theirs("format_query", query)]);
        const ourTree = ours(() => JSON.parse([...renderTree(parseExpr(query, ALL_OPTIONS))].join("")));
        const ourText = ours(() => prettyExpr(parseExpr(query, ALL_OPTIONS)));
        if (tree !== UNRENDERED && JSON.stringify(tree) !== JSON.stringify(ourTree)) {
          out.push(`${query}\n  tree ${JSON.stringify(ourTree)}\n  want ${JSON.stringify(tree)}`);
        }
        const isOurs = OTHERWISE.test(String(ourText)) || addsParentheses(query, String(ourText));
        if (text !== ourText && !isOurs) {
          out.push(`${query}\n  text ${JSON.stringify(ourText)}\n  want ${JSON.stringify(text)}`);
        }
      }),
    );
  }
  return out;
}

/** Durations of every kind, behind every place that takes one. */
function durationQueries(chance: Chance, count: number): string[] {
  const duration = (depth: number): string => {
    if (depth === 0) return chance.pick(["5m", "1", "0.5", "90s", "step()", "range()", "1h30m", "2"]);
    const d = depth - 1;
    return chance.pick([
      () => `(${duration(d)})`,
      () => `${duration(d)}${chance.pick([" + ", "*", " - ", "/", " % ", "^"])}${duration(d)}`,
      () => `${chance.pick(["-", "+"])}${duration(d)}`,
      () => `${chance.pick(["min_of", "max_of"])}(${duration(d)}, ${duration(d)})`,
    ])();
  };
  return Array.from({ length: count }, () => {
    const form = chance.pick(["up[D]", "up offset D", "up[D:D]", "sum(rate(up[D] offset D))", "up[5m:] @ 7 offset D"]);
    return form.replaceAll("D", () => duration(chance.below(4)));
  });
}

/** Generated queries joined, wrapped and spread until they need lines. */
function longQueries(chance: Chance, count: number): string[] {
  const writer = new QueryWriter(chance, { modern: true, starts: false });
  return Array.from({ length: count }, () => {
    const parts = Array.from({ length: 1 + chance.below(5) }, () => `(${writer.query().replaceAll("{T}", "7.25")})`);
    const joined = parts.join(chance.pick([" + ", " and on (job, instance) ", " > bool ", " ^ ", " == "]));
    return chance
      .pick(["Q", "-Q", "sum by (job) (Q)", "topk(3, Q)", "label_replace(Q, 'a', '$1', 'b', '(.*)')", "(Q)[1h:5m]"])
      .replace("Q", () => joined);
  });
}

describe.skipIf(command === undefined)("parse_query and format_query of a real Prometheus 3", () => {
  beforeAll(async () => {
    prometheus = await startPrometheus(command!, [`--enable-feature=${LANGUAGE_FEATURES.join(",")}`]);
  });
  afterAll(() => prometheus?.stop());

  test.skipIf(CORPUS_MISSING)("every query of Prometheus' own test scripts", async () => {
    expect(await differences([...new Set(corpusQueries())])).toEqual([]);
  });

  test("generated queries, long ones", async () => {
    expect(await differences(longQueries(new Chance(3), GENERATED))).toEqual([]);
  });

  test("generated durations", async () => {
    expect(await differences(durationQueries(new Chance(4), GENERATED))).toEqual([]);
  });
});
