// test/unit/env/gather.test.ts: when a group waits for company, and when it does not.
import { describe, expect, test } from "vitest";
import { Gather, SimClock } from "../../../libs/env/index.ts";

/** Whether a promise has settled once all callbacks that can run have run. */
async function isSettled(promise: Promise<void>, clock: SimClock): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await clock.advance(0);
  return settled;
}

describe("gather", () => {
  test("the first group, and a lonely writer, wait for nobody", async () => {
    const clock = new SimClock();
    const gather = new Gather(clock);
    expect(await isSettled(gather.company(1), clock)).toBe(true);
    gather.committed(1, 0, 5);
    expect(await isSettled(gather.company(1), clock)).toBe(true);
  });

  test("a group waits until as many writers are there as were before", async () => {
    const clock = new SimClock();
    const gather = new Gather(clock);
    gather.committed(2, 2, 5);
    const waiting = gather.company(2);
    expect(await isSettled(waiting, clock)).toBe(false);
    gather.arrived(3);
    expect(await isSettled(waiting, clock)).toBe(false);
    gather.arrived(4);
    expect(await isSettled(waiting, clock)).toBe(true);
  });

  test("… and no longer than the last trip took, with a bound", async () => {
    for (const [tripMs, waitMs] of [
      [1, 1],
      [500, 2],
    ] as const) {
      const clock = new SimClock();
      const gather = new Gather(clock);
      gather.committed(4, 0, tripMs);
      const waiting = gather.company(1);
      await clock.advance(waitMs * 0.9);
      expect(await isSettled(waiting, clock)).toBe(false);
      await clock.advance(waitMs * 0.2);
      expect(await isSettled(waiting, clock)).toBe(true);
    }
  });

  test("a trip that takes no time is not waited for", async () => {
    const clock = new SimClock();
    const gather = new Gather(clock);
    gather.committed(4, 0, 0.05);
    expect(await isSettled(gather.company(1), clock)).toBe(true);
  });
});
