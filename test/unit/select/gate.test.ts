// test/unit/select/gate.test.ts: concurrency: order, refusal, leaving the queue.
import { expect, test } from "vitest";
import { CanceledError } from "../../../libs/model/index.ts";
import { QueryGate } from "../../../services/select/gate.ts";

/** Work that ends when told to. */
function task(log: string[], name: string): { work: () => Promise<string>; end: () => void } {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const work = async (): Promise<string> => {
    log.push(name);
    await ended;
    return name;
  };
  return { work, end };
}

const never = new AbortController().signal;

test("runs up to the limit, then in order of arrival", async () => {
  const gate = new QueryGate(2, 10);
  const log: string[] = [];
  const tasks = ["a", "b", "c", "d"].map((name) => task(log, name));
  const results = tasks.map((t) => gate.run(never, t.work));
  await Promise.resolve();
  expect([log, gate.running, gate.waiting]).toEqual([["a", "b"], 2, 2]);
  tasks[1]!.end();
  await results[1];
  await new Promise((resolve) => setImmediate(resolve));
  expect([log, gate.running, gate.waiting]).toEqual([["a", "b", "c"], 2, 1]);
  for (const t of tasks) t.end();
  expect(await Promise.all(results)).toEqual(["a", "b", "c", "d"]);
  expect([gate.running, gate.waiting]).toEqual([0, 0]);
});

test("refuses beyond the queue, and a failure frees its place", async () => {
  const gate = new QueryGate(1, 1);
  const log: string[] = [];
  const first = task(log, "a");
  const running = gate.run(never, first.work);
  const failing = gate.run(never, () => Promise.reject(new Error("boom")));
  await expect(gate.run(never, async () => 1)).rejects.toMatchObject({ concurrency: true, limit: "--query-queue-max" });
  first.end();
  await running;
  await expect(failing).rejects.toThrow("boom");
  expect(gate.running).toBe(0);
  expect(await gate.run(never, async () => 5)).toBe(5);
});

test("an aborted waiter leaves the queue with the signal's reason", async () => {
  const gate = new QueryGate(1, 5);
  const first = task([], "a");
  const running = gate.run(never, first.work);
  const controller = new AbortController();
  const waiting = gate.run(controller.signal, async () => 1);
  controller.abort(new CanceledError("gone"));
  await expect(waiting).rejects.toThrow("gone");
  expect(gate.waiting).toBe(0);
  await expect(gate.run(controller.signal, async () => 1)).rejects.toThrow("gone");
  first.end();
  await running;
  expect(gate.running).toBe(0);
});
