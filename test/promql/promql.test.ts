// test/promql/promql.test.ts: all PromQL scripts pass: our own, and Prometheus' where they are at hand.
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describe as describeReports, runScripts, tally } from "./main.ts";
import { WiredQueryable } from "./wired-queryable.ts";

const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));

test("every eval of our own scripts passes", async () => {
  const reports = await runScripts([own]);
  const outcomes = reports.flatMap((report) => report.outcomes);
  expect(outcomes.length).toBeGreaterThanOrEqual(400);
  const failures = outcomes.filter((o) => o.failure !== undefined).map((o) => `line ${o.line}: ${o.failure}`);
  expect(failures.join("\n")).toBe("");
});

test.runIf(existsSync(shared))("every eval of Prometheus' own scripts passes", async () => {
  const reports = await runScripts([shared]);
  const { passed, total } = tally(reports.flatMap((report) => report.outcomes));
  expect(total).toBeGreaterThan(2000);
  expect(passed, describeReports(reports, true)).toBe(total);
});

describe("over three shards behind the wire", () => {
  test.each([own, ...(existsSync(shared) ? [shared] : [])])("every eval of %s passes", async (directory) => {
    const reports = await runScripts([directory], () => new WiredQueryable(3));
    const failures = reports.flatMap(({ file, outcomes }) =>
      outcomes.filter((o) => o.failure !== undefined).map((o) => `${basename(file)}:${o.line}: ${o.failure}`),
    );
    expect(failures.join("\n")).toBe("");
  });
});
