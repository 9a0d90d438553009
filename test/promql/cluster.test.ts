// test/promql/cluster.test.ts: PromQL scripts on three storage processes, loaded by remote write: those about what storages keep beside
// floats; with PROMQL_CLUSTER=all every one of them (make promql-cluster).
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startScriptCluster } from "./cluster-storage.ts";
import { runScripts } from "./main.ts";

const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));
const FEW = /^(?:native-histograms|histograms|start[-_]time.*|rates)\.test$/;
const all = process.env.PROMQL_CLUSTER === "all";

test.each([own, ...(existsSync(shared) ? [shared] : [])])("every eval of %s passes on a cluster", async (directory) => {
  const cluster = await startScriptCluster();
  try {
    const wanted = (name: string): boolean => all || FEW.test(name);
    const reports = await runScripts([directory], () => cluster.open(), wanted);
    const failures = reports.flatMap(({ file, outcomes }) =>
      outcomes.filter((o) => o.failure !== undefined).map((o) => `${basename(file)}:${o.line}: ${o.failure}`),
    );
    expect(reports.flatMap(({ outcomes }) => outcomes).length).toBeGreaterThan(80);
    // Partial sums come rounded: what cancels out across shards is lost.
    const cancelling = /: (?:sum|avg)\((?:odd|histogram_sum|data\{test="ten"\})\) at /;
    expect(failures.filter((failure) => !cancelling.test(failure)).join("\n")).toBe("");
  } finally {
    await cluster.close();
  }
});
