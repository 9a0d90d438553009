// test/unit/env/background.test.ts: a thread in the background lets the process' other threads go first, and only it.
import { getPriority } from "node:os";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { packageRoot } from "../../../libs/env/index.ts";

test.runIf(process.platform === "linux")(
  "a thread in the background is nicer than before; others stay as they were",
  async () => {
    const before = getPriority(0);
    const code = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { getPriority } = require("node:os");
    import(workerData).then(({ runInBackground }) => {
      runInBackground();
      parentPort.postMessage(getPriority(0));
    });`;
    const worker = new Worker(code, {
      eval: true,
      workerData: `${packageRoot()}/dist/libs/env/index.js`,
      execArgv: [],
    });
    const inside = await new Promise((resolve, reject) => worker.on("message", resolve).on("error", reject));
    await worker.terminate();
    expect(inside).toBe(Math.min(19, before + 6));
    expect(getPriority(0)).toBe(before);
  },
);
