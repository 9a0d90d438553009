// test/e2e/promtool.test.ts: Prometheus' own command-line client asks a running `tidemark all`; and formats queries as we do.
import { spawn, spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseExpr, prettyExpr } from "../../libs/promql/index.ts";
import { binary } from "../needs.ts";
import { load, presentMinute, type Served, serveAll, worldSeries } from "./api-world.ts";

const promtool = binary("promtool", "PROMTOOL_BIN");
/** Whether it has a command; older ones have fewer. */
const knows = (...args: string[]): boolean => promtool !== undefined && spawnSync(promtool, args).status === 0;

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** Runs it beside this process, which has to answer it. */
function run(...args: string[]): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(promtool!, args, { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let error = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      error += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, error }));
  });
}

describe.skipIf(promtool === undefined)("promtool", () => {
  let tidemark: Served;
  let endS = 0;
  beforeAll(async () => {
    tidemark = await serveAll();
    endS = presentMinute();
    await load(tidemark.url, worldSeries(endS));
  });
  afterAll(() => tidemark?.stop());

  const lines = ({ code, out, error }: Result): string[] => {
    expect([code, error]).toEqual([0, ""]);
    return out.trimEnd().split("\n").sort();
  };
  const series = (name: string, i: number): string => `${name}{instance="host-${i}:9100", job="${"ab"[i]}"}`;

  test("query instant", async () => {
    const at = [`--time=${endS}`, tidemark.url];
    expect(lines(await run("query", "instant", ...at, "up"))).toEqual(
      [0, 1].map((i) => `${series("up", i)} => 1 @[${endS}]`),
    );
    expect(lines(await run("query", "instant", ...at, "1 + 1"))).toEqual([`scalar: 2 @[${endS}]`]);
    expect(lines(await run("query", "instant", ...at, "nothing"))).toEqual([""]);
    const json = await run("query", "instant", "--format=json", ...at, "sum(up)");
    expect(JSON.parse(json.out)).toEqual([{ metric: {}, value: [endS, "2"] }]);
    const wrong = await run("query", "instant", ...at, "up +");
    expect([wrong.code, wrong.out]).toEqual([1, ""]);
    expect(wrong.error).toContain('bad_data: invalid parameter "query": 1:5: parse error: unexpected end of input');
  });

  test("query range", async () => {
    const range = [`--start=${endS - 60}`, `--end=${endS}`, "--step=30s"];
    const result = await run(
      "query",
      "range",
      ...range,
      tidemark.url,
      "sum by (code) (changes(http_requests_total[1m]))",
    );
    const points = [60, 30, 0].map((ago) => `6 @[${endS - ago}]`);
    expect(lines(result)).toEqual([...['{code="200"} =>', '{code="500"} =>'], ...points, ...points].sort());
  });

  test("query series", async () => {
    const window = [`--start=${endS - 1800}`, `--end=${endS}`];
    const found = await run("query", "series", "--match=up", "--match=old", ...window, tidemark.url);
    expect(lines(found)).toEqual([
      '{__name__="old", job="a"}',
      ...[0, 1].map((i) => series("", i).replace("{", '{__name__="up", ')),
    ]);
  });

  test("query labels", async () => {
    const window = [`--start=${endS - 1800}`, `--end=${endS}`];
    expect(lines(await run("query", "labels", ...window, tidemark.url, "job"))).toEqual(["a", "b"]);
    const matched = await run("query", "labels", ...window, '--match={__name__="old"}', tidemark.url, "job");
    expect(lines(matched)).toEqual(["a"]);
    expect(lines(await run("query", "labels", ...window, tidemark.url, "nothing"))).toEqual([""]);
  });

  test.skipIf(!knows("check", "ready", "--help"))("check healthy and ready, of promtool 3", async () => {
    for (const what of ["healthy", "ready"]) {
      const { code, out, error } = await run("check", what, `--url=${tidemark.url}`);
      expect([code, out + error]).toEqual([0, expect.stringContaining("SUCCESS")]);
    }
  });

  test
    .skipIf(!knows("--experimental", "promql", "format", "up"))
    .each([
      "sum(up)",
      "sum by (job, instance) (rate(http_requests_total{code=~'5..'}[5m])) / on (job) group_left () sum without (code) (x)",
      "label_replace(http_requests_total{job='a', instance='host-0:9100'}, 'target', '$1', 'instance', '(.*):.*') > bool 5",
      "-sum(a_rather_long_name_of_a_metric{with='labels', and='more', of='them'} offset 5m) ^ another_long_name @ end()",
    ])("promql format of promtool 3: %s", async (query) => {
    const { out, code } = await run("--experimental", "promql", "format", "--", query);
    expect([code, out.trimEnd()]).toEqual([0, prettyExpr(parseExpr(query))]);
  });
});
