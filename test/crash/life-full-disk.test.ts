// test/crash/life-full-disk.test.ts: the disk is full at each writing call of a storage's whole life: of the log, cuts, merges, rows, side files,
// the index, the registry, deletions, retention, snapshots, starts. What can't be done is refused as what time cures, queries go on, and with
// room again all goes on by itself, to the same end.
import { expect, test } from "vitest";
import type { SimCall } from "../../libs/env/index.ts";
import { Life, NEEDS_ROOM } from "./life.ts";

const LIVES = 24;

const isWriting = ({ kind, path }: SimCall): boolean => NEEDS_ROOM.has(kind) && !path.endsWith("/LOCK");

let known: Promise<[name: string, pass: number][]> | undefined;

function writingCalls(): Promise<[name: string, pass: number][]> {
  known ??= listCalls();
  return known;
}

/** The calls of an undisturbed life that need room: by point, and how often it was passed by then. */
async function listCalls(): Promise<[name: string, pass: number][]> {
  const passes = new Map<string, number>();
  const calls: [string, number][] = [];
  const life = new Life({
    ...{ seed: 1, keepsCache: true, looksAlways: false },
    onPoint: (name, call) => {
      if (!isWriting(call)) return undefined;
      const pass = (passes.get(name) ?? 0) + 1;
      passes.set(name, pass);
      calls.push([name, pass]);
      return undefined;
    },
  });
  await life.run();
  return calls;
}

const met = new Set<string>();
let refusals = 0;
let wanted = 0;
let unmet = 0;

/** Lives through; the disk is full at each of these calls, until the step at hand has been refused or is done. */
async function live(targets: Set<string>): Promise<void> {
  const passes = new Map<string, number>();
  let last = "";
  const life = new Life({
    ...{ seed: 1, keepsCache: true, looksAlways: true },
    onPoint: (name, call) => {
      if (!isWriting(call)) return undefined;
      const pass = (passes.get(name) ?? 0) + 1;
      passes.set(name, pass);
      if (!targets.delete(`${name} ${pass}`)) return undefined;
      met.add(name);
      last = `${name} ${pass}`;
      return "is full";
    },
  });
  try {
    await life.run();
  } catch (error) {
    throw new Error(`after a full disk at ${last}: ${(error as Error).stack}`);
  }
  expect(life.deaths).toBe(0);
  refusals += life.refusals;
}

test.each(Array.from({ length: LIVES }, (_, i) => i))("life %i of 24", { timeout: 120_000 }, async (which) => {
  const calls = await writingCalls();
  const targets = new Set(calls.filter((_, i) => i % LIVES === which).map(([name, pass]) => `${name} ${pass}`));
  await live(targets);
  // What had to wait for room is done at once later, in fewer calls.
  unmet += targets.size;
  wanted += calls.length / LIVES;
});

test("all writing points have been met", { timeout: 120_000 }, async () => {
  const names = new Set((await writingCalls()).map(([name]) => name));
  // One full disk may have kept a life from the point of another.
  for (const name of names) if (!met.has(name)) await live(new Set([`${name} 1`]));
  expect([...names].filter((name) => !met.has(name))).toEqual([]);
  expect(unmet).toBeLessThan(wanted * 0.05);
  expect(refusals).toBeGreaterThan(100);
});
