// test/crash/life-failed-sync.test.ts: each sync of a storage's life fails once: of the log, blocks, rows, side files, the registry. The process
// stops and marks its directory, its successor reads only, and once it was verified life goes on, to the same end. What fails of the index,
// which is made again, or of a snapshot, which is refused then, stops nobody.
import { expect, test } from "vitest";
import { Life } from "./life.ts";
import { POINTS } from "./points.ts";

const SYNCS = POINTS.filter((name) => / synced/.test(name) && name !== "index: names are synced (index-name)");
const LIVES = 12;
const isHarmless = (name: string): boolean => /^(index|snapshot): /.test(name);
const missed = new Set(SYNCS);

async function live(targets: Set<string>): Promise<void> {
  let harmless = 0;
  let stops = 0;
  let last = "";
  const life = new Life({
    ...{ seed: 1, keepsCache: true, looksAlways: true },
    onPoint: (name) => {
      if (!targets.delete(name)) return undefined;
      missed.delete(name);
      last = name;
      if (isHarmless(name)) harmless++;
      else stops++;
      return "fails";
    },
  });
  try {
    await life.run();
    expect({ stops: life.stops, harmless: life.harmless }).toEqual({ stops, harmless });
  } catch (error) {
    throw new Error(`after a failed sync at ${last}: ${(error as Error).stack}`);
  }
}

test.each(Array.from({ length: LIVES }, (_, i) => i))("life %i of 12", { timeout: 120_000 }, async (which) => {
  await live(new Set(SYNCS.filter((_, i) => i % LIVES === which)));
});

test("each has failed", { timeout: 120_000 }, async () => {
  for (const name of [...missed]) await live(new Set([name]));
  expect([...missed]).toEqual([]);
});
