// test/promql/promql.test.ts: floors for the PromQL scripts: all of our own, and of Prometheus' where they are at hand.
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

test.runIf(existsSync(shared))("97 % of Prometheus' evals without native histograms pass", async () => {
  const reports = await runScripts([shared]);
  const floats = reports.flatMap((report) => report.outcomes).filter((o) => !o.native);
  const { passed, total } = tally(floats);
  expect(total).toBeGreaterThan(1000);
  expect(passed / total, describe(reports, false)).toBeGreaterThan(0.97);
});
