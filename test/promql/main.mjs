// test/promql/main.mjs: the command line of the PromQL scripts (make promql): passed / total per file, then a sum.
// PROMQL_SCRIPTS=DIR runs another directory, PROMQL_VERBOSE=1 shows every failure.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import "../register.mjs";

const { describe, runScripts } = await import("./main.ts");
const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));
const chosen = process.env.PROMQL_SCRIPTS;
const directories = chosen ? [chosen] : [own, ...(existsSync(shared) ? [shared] : [])];
console.log(describe(await runScripts(directories), process.env.PROMQL_VERBOSE === "1"));
