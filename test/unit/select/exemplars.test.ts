// test/unit/select/exemplars.test.ts: query_exemplars: which series a query asks about, and exemplars as Prometheus writes them.
import { expect, test } from "vitest";
import type { Queryable, SeriesExemplars } from "../../../libs/model/index.ts";
import { STOCK_OPTIONS } from "../../../libs/promql/index.ts";
import type { Exchange } from "../../../libs/runtime/index.ts";
import { exemplarEndpoint } from "../../../services/select/exemplar-endpoint.ts";
import { Form } from "../../../services/select/form.ts";
import { QueryRunner } from "../../../services/select/run-query.ts";

const FOUND: readonly SeriesExemplars[] = [
  { labels: ["__name__", "z"], exemplars: [] },
  {
    labels: ["__name__", "lat", "le", "5"],
    exemplars: [
      { labels: ["trace_id", 'a"é'], value: 6, timeMs: 1600096945479 },
      { labels: [], value: Number.NaN, timeMs: 5000 },
    ],
  },
];

async function ask(query: string): Promise<{ text: string; asked: string[] }> {
  const asked: string[] = [];
  const exemplars: Queryable["exemplars"] = async (sets, { minMs, maxMs }) => {
    for (const set of sets) asked.push(set.map((m) => `${m.name}${m.type}${m.value}`).join());
    asked.push(`${minMs} ${maxMs}`);
    return [...FOUND];
  };
  const runner = new QueryRunner({ timeoutMs: 10_000, samplesMax: 100, concurrency: 1, queueMax: 1 }, () => Date.now());
  const endpoint = exemplarEndpoint(() => ({ exemplars }) as Queryable, runner, STOCK_OPTIONS);
  const exchange = { abort: new AbortController() } as Exchange;
  const answer = await endpoint.answer({
    exchange,
    tenant: "default",
    form: new Form(`query=${encodeURIComponent(query)}&start=1&end=2.5`),
  });
  if (typeof answer === "string") return { text: answer, asked };
  return { text: Buffer.concat([...(answer as Iterable<Uint8Array>)]).toString(), asked };
}

test("all selectors are asked for; series come sorted", async () => {
  const { text, asked } = await ask('sum(rate(lat{le="5"}[5m])) / on() up offset 5m');
  expect(asked).toEqual(["le=5,__name__=lat", "__name__=up", "1000 2500"]);
  expect(text).toBe(
    '{"status":"success","data":[{"seriesLabels":{"__name__":"lat","le":"5"},"exemplars":[{"labels":{"trace_id":"a\\"é"},"value":"6","timestamp":1600096945.479},{"labels":{},"value":"NaN","timestamp":5}]},{"seriesLabels":{"__name__":"z"},"exemplars":[]}]}',
  );
});

test("a query without a selector has no answer; a wrong one, or times in the wrong order, are refused", async () => {
  expect(await ask("1+1")).toEqual({ text: "empty", asked: [] });
  await expect(ask("up +")).rejects.toThrow("1:5: parse error: unexpected end of input");
});
