// test/unit/tsdb/pace.test.ts: long work rests when its slice is over, gives way for as long as it is told to, and ends when its time is over.
import { expect, test } from "vitest";
import { SimClock } from "../../../libs/env/index.ts";
import { CanceledError, TimeoutError } from "../../../libs/model/index.ts";
import { Pace } from "../../../libs/tsdb/pace.ts";

const START = 1_000_000;

function contextUntil(deadlineMs: number, signal = new AbortController().signal) {
  return { tenant: "t", signal, deadlineMs, samplesMax: 1 };
}

/** Enough of them for whoever rests to go on. */
async function someTurns(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("a rest is due after a slice, and begins the next one", async () => {
  const clock = new SimClock(START);
  const pace = new Pace(clock, contextUntil(START + 1000));
  expect(pace.isDue).toBe(false);
  await clock.advance(5);
  expect(pace.isDue).toBe(true);
  await pace.rest();
  expect(pace.isDue).toBe(false);
});

test("in every fourth turn of the loop one of those that rest goes on, in the order in which they came", async () => {
  const clock = new SimClock(START);
  const paces = Array.from({ length: 4 }, () => new Pace(clock, contextUntil(START + 1000)));
  const order: (number | "turn")[] = [];
  const work = paces.map(async (pace, i) => {
    for (let slice = 0; slice < 2; slice++) {
      await pace.rest();
      order.push(i);
    }
  });
  let goesOn = true;
  const turns = (async () => {
    while (goesOn) {
      await new Promise((resolve) => setImmediate(resolve));
      order.push("turn");
    }
  })();
  await Promise.all(work);
  goesOn = false;
  await turns;
  expect(order.filter((one) => one !== "turn")).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  const between = order.join(" ").split(/\d/).slice(1, -1);
  expect(between.filter((turns) => turns !== " turn turn turn turn ")).toEqual([]);
});

test("who can wait rests until it needn't give way; its slice begins then", async () => {
  const clock = new SimClock(START);
  let hasRested = false;
  const pace = new Pace(clock, contextUntil(START + 1000), () => clock.sleep(100));
  const resting = pace.rest().then(() => {
    hasRested = true;
  });
  await someTurns();
  await clock.advance(99);
  expect(hasRested).toBe(false);
  await clock.advance(1);
  await resting;
  expect(pace.isDue).toBe(false);
});

test("work whose time is over while it gave way doesn't go on", async () => {
  const clock = new SimClock(START);
  const late = new Pace(clock, contextUntil(START + 50), () => clock.sleep(100)).rest();
  const refused = expect(late).rejects.toThrow(TimeoutError);
  await someTurns();
  await clock.advance(100);
  await refused;
  const stopped = new AbortController();
  const pace = new Pace(clock, contextUntil(START + 1000, stopped.signal));
  stopped.abort();
  await expect(pace.rest()).rejects.toThrow(CanceledError);
});
