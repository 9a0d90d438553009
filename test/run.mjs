// test/run.mjs: runs all suites and ends with a plain `N passed, N failed`. With CI=true a skipped test is a failure.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

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
try {
  const report = JSON.parse(readFileSync(results, "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  skipped = report.numPendingTests + (report.numTodoTests ?? 0);
  // A file that doesn't load has no tests to fail.
  failed += report.testResults.filter((f) => f.status === "failed" && f.assertionResults.length === 0).length;
} catch (error) {
  console.error(`cannot read test results: ${error instanceof Error ? error.message : error}`);
  failed++;
}
if (skipped > 0) {
  console.log(`${skipped} skipped: see the names above; they need a peer's binary or ../shared`);
  if (process.env.CI === "true") failed += skipped;
}
if (run.status !== 0 && failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
