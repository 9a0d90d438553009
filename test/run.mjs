// test/run.mjs: runs all suites and ends with a plain `N passed, N failed`. With CI=true a skipped test is a failure, unless its name
// says that it compares with a version 3 that distributions don't have yet.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Named by PROM_BIN and PROMTOOL_BIN. */
const NEWER_PEER = /\b(?:Prometheus|promtool) 3\b/;

const SKIPPED = new Set(["pending", "skipped"]);

const root = fileURLToPath(new URL("..", import.meta.url));
const results = `${root}.test-results.json`;
rmSync(results, { force: true });
const run = spawnSync(
  process.execPath,
  [
    `${root}node_modules/vitest/vitest.mjs`,
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: ["ignore", "inherit", "inherit"] },
);
let passed = 0;
let failed = 0;
let skipped = 0;
let newer = 0;
try {
  const report = JSON.parse(readFileSync(results, "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  const pending = report.testResults.flatMap((f) => f.assertionResults).filter((a) => SKIPPED.has(a.status));
  newer = pending.filter((a) => NEWER_PEER.test(a.fullName)).length;
  skipped = report.numPendingTests + (report.numTodoTests ?? 0) - newer;
  // A file that doesn't load has no tests to fail.
  failed += report.testResults.filter((f) => f.status === "failed" && f.assertionResults.length === 0).length;
} catch (error) {
  console.error(`cannot read test results: ${error instanceof Error ? error.message : error}`);
  failed++;
}
if (newer > 0) console.log(`${newer} not asked of Prometheus 3: PROM_BIN and PROMTOOL_BIN name it`);
if (skipped > 0) {
  console.log(`${skipped} skipped: see the names above; they need a peer's binary or ../shared`);
  if (process.env.CI === "true") failed += skipped;
}
if (run.status !== 0 && failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
