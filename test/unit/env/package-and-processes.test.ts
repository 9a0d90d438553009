// test/unit/env/package-and-processes.test.ts: facts about the place and the process that runs.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { nodeProcesses, packageRoot } from "../../../libs/env/index.ts";

test("the package's folder is the one with package.json", () => {
  expect(existsSync(`${packageRoot()}/package.json`)).toBe(true);
  expect(existsSync(`${packageRoot()}/libs/env/package-root.ts`)).toBe(true);
});

test("a running process has one start, a gone one has none", () => {
  expect(nodeProcesses.pid).toBe(process.pid);
  const own = nodeProcesses.startOf(process.pid);
  expect(own).toBeDefined();
  expect(nodeProcesses.startOf(process.pid)).toBe(own);
  const gone = spawnSync("true").pid;
  for (const pid of [gone, 0, -1, 1.5, 2 ** 31 - 1]) expect(nodeProcesses.startOf(pid)).toBeUndefined();
  if (process.platform === "linux") expect(nodeProcesses.startOf(1)).not.toBe(own);
});
