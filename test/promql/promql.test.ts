// test/promql/promql.test.ts: all PromQL scripts pass: our own, and Prometheus' where they are at hand.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { describe, runScripts, tally } from "./main.ts";

const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));

test("every eval of our own scripts passes", async () => {
  const reports = await runScripts([own]);
  const outcomes = reports.flatMap((report) => report.outcomes);
  expect(outcomes.length).toBeGreaterThanOrEqual(290);
  const failures = outcomes.filter((o) => o.failure !== undefined).map((o) => `line ${o.line}: ${o.failure}`);
  expect(failures.join("\n")).toBe("");
});

test.runIf(existsSync(shared))("every eval of Prometheus' own scripts passes", async () => {
  const reports = await runScripts([shared]);
  const { passed, total } = tally(reports.flatMap((report) => report.outcomes));
  expect(total).toBeGreaterThan(2300);
  expect(passed, describe(reports, true)).toBe(total);
});
