// test/promql/main.mjs: the command line of the PromQL scripts (make promql): passed / total per file, then a sum.
// PROMQL_SCRIPTS=DIR runs another directory, PROMQL_VERBOSE=1 shows every failure. Exit status 1 when there is one.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import "../register.mjs";

const { describe, runScripts, tally } = await import("./main.ts");
const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));
const chosen = process.env.PROMQL_SCRIPTS;
const directories = chosen ? [chosen] : [own, ...(existsSync(shared) ? [shared] : [])];
const reports = await runScripts(directories);
console.log(describe(reports, process.env.PROMQL_VERBOSE === "1"));
const { passed, total } = tally(reports.flatMap(({ outcomes }) => outcomes));
if (passed < total) process.exitCode = 1;
