// test/unit/env/clock.test.ts: simulated time moves when told, in order; the machine's clock keeps its promises.
import { describe, expect, test } from "vitest";
import { nodeClock, SimClock } from "../../../libs/env/index.ts";

describe("SimClock", () => {
  test("runs timers at their times, in the order of making when equal", async () => {
    const clock = new SimClock(1_000);
    const seen: string[] = [];
    const note = (name: string) => (): void => {
      seen.push(`${name}@${clock.monotonicMs()}`);
    };
    clock.after(20, note("b"));
    clock.after(10, note("a"));
    clock.after(20, note("c"));
    clock.after(15, note("never")).cancel();
    const beat = clock.every(12, note("beat"));
    await clock.advance(30);
    beat.cancel();
    await clock.advance(100);
    expect(seen).toEqual(["a@10", "beat@12", "b@20", "c@20", "beat@24"]);
    expect(clock.nowMs()).toBe(1_130);
  });

  test("a sleeper's continuation runs before the next timer", async () => {
    const clock = new SimClock();
    const seen: string[] = [];
    const sleeper = async (): Promise<void> => {
      await clock.sleep(10);
      seen.push(`awake@${clock.monotonicMs()}`);
      await clock.sleep(5);
      seen.push(`again@${clock.monotonicMs()}`);
    };
    void sleeper();
    clock.after(20, () => seen.push("late"));
    await clock.advance(20);
    expect(seen).toEqual(["awake@10", "again@15", "late"]);
  });

  test("the wall clock may jump, the monotonic one does not", async () => {
    const clock = new SimClock(5_000);
    await clock.advance(100);
    clock.jumpWall(-3_600_000);
    expect(clock.nowMs()).toBe(5_100 - 3_600_000);
    expect(clock.monotonicMs()).toBe(100);
  });

  test.each([
    ["simulated", new SimClock()],
    ["real", nodeClock],
  ])("an aborted sleep rejects with the reason: %s", async (_name, clock) => {
    const stop = new AbortController();
    const slept = clock.sleep(60_000, stop.signal);
    stop.abort(new Error("enough"));
    await expect(slept).rejects.toThrow("enough");
    await expect(clock.sleep(1, stop.signal)).rejects.toThrow("enough");
  });
});

test("the machine's clock sleeps, fires and repeats", async () => {
  const start = nodeClock.monotonicMs();
  let beats = 0;
  const beat = nodeClock.every(2, () => beats++);
  let fired = false;
  nodeClock.after(1, () => {
    fired = true;
  });
  nodeClock.after(1, () => expect.unreachable("a cancelled timer ran")).cancel();
  while (beats < 3) await nodeClock.sleep(2);
  beat.cancel();
  expect(fired).toBe(true);
  expect(nodeClock.monotonicMs() - start).toBeGreaterThan(4);
  expect(Math.abs(nodeClock.nowMs() - Date.now())).toBeLessThan(1_000);
});
