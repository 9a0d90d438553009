// test/promql/cluster.test.ts: all PromQL scripts on three storage processes, loaded by remote write.
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ScriptCluster, startScriptCluster } from "./cluster-storage.ts";
import { runScripts } from "./main.ts";

const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));

describe.each([own, ...(existsSync(shared) ? [shared] : [])])("every eval passes on a cluster: %s", (directory) => {
  let cluster: ScriptCluster;
  beforeAll(async () => {
    cluster = await startScriptCluster();
  });
  afterAll(() => cluster?.close());

  test.each(readdirSync(directory).filter((name) => name.endsWith(".test")))("%s", async (script) => {
    const reports = await runScripts(
      [directory],
      () => cluster.open(),
      (name) => name === script,
    );
    const outcomes = reports.flatMap((report) => report.outcomes);
    expect(outcomes.length).toBeGreaterThan(0);
    const failures = outcomes.filter((o) => o.failure !== undefined).map((o) => `line ${o.line}: ${o.failure}`);
    expect(failures.join("\n")).toBe("");
  });
});
