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

let refusals = 0;
/** What a life did not come to, because an earlier full disk had made it do the same in fewer calls. */
const unmet: string[] = [];

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
  unmet.push(...targets);
});

test("and what is left, each in a life of its own", { timeout: 240_000 }, async () => {
  for (const call of unmet) {
    const targets = new Set([call]);
    await live(targets);
    expect([...targets]).toEqual([]);
  }
  expect(refusals).toBeGreaterThan(100);
});
