// test/crash/points.test.ts: a storage dies at every named point of its work: killed, and by a loss of power. It starts again, does again what
// nobody was told of, lives on to its end, and all the time what was acknowledged is there once, in samples and in rows.
import { afterAll, describe, expect, test } from "vitest";
import { Life } from "./life.ts";
import { POINTS, POINTS_AFTER_DEATHS } from "./points.ts";

/** How often each point is died at, at its first time and at random ones. */
const ROUNDS = Number(process.env.FUZZ_RUNS ?? 1);
/** Points that one life dies at, one after another. */
const DEATHS_PER_LIFE = 10;

const ways = ["killed", "power lost"] as const;
const hits = new Map<string, number>();
const deaths = new Map<string, number>();
const harms = new Set<string>();
const count = (counts: Map<string, number>, name: string): void => {
  counts.set(name, (counts.get(name) ?? 0) + 1);
};

/** Lives through; dies once at each of these points: at the first time that it is reached, or, with seeds from 1000 on, at a later one. `ignored`: a sync that does nothing. */
async function liveAndDie(
  way: (typeof ways)[number],
  targets: readonly string[],
  seed: number,
  ignored?: string,
): Promise<void> {
  const left = new Map(targets.map((name, i) => [name, seed < 1000 ? 0 : (seed * 7 + i * 3) % 5]));
  const died: string[] = [];
  const life = new Life({
    ...{ seed, keepsCache: way === "killed", looksAlways: false },
    onPoint: (name) => {
      const passes = left.get(name);
      if (passes === undefined) return undefined;
      if (passes > 0) {
        left.set(name, passes - 1);
        return undefined;
      }
      left.delete(name);
      died.push(name);
      if (ignored === undefined) count(deaths, `${way} ${name}`);
      return "dies";
    },
  });
  if (ignored !== undefined) life.fs.ignoreSync(({ site }) => site === ignored);
  try {
    await life.run();
  } catch (error) {
    throw new Error(`${way}, seed ${seed}, after deaths at ${died.join("; ")}: ${(error as Error).stack}`);
  }
  expect(life.deaths).toBe(died.length);
  for (const harm of life.harms) harms.add(harm);
}

/** Points of neighbouring lines come into different lives. */
function portions(names: readonly string[]): string[][] {
  const lives = Math.ceil(names.length / DEATHS_PER_LIFE);
  return Array.from({ length: lives }, (_, life) => names.filter((_, i) => i % lives === life));
}

describe("a storage", () => {
  test("passes all points and no others", { timeout: 60_000 }, async () => {
    const onPoint = (name: string): undefined => {
      count(hits, name);
    };
    await new Life({ seed: 1, keepsCache: true, looksAlways: true, onPoint }).run();
    expect([...hits.keys()].sort()).toEqual([...POINTS].sort());
  });

  const lives = portions(POINTS);
  const each = ways.flatMap((way) =>
    lives.map((targets, i) => [way, `life ${i + 1} of ${lives.length}`, targets] as const),
  );

  test.each(each)("%s again and again: %s", { timeout: 0 }, async (way, _, targets) => {
    for (let round = 0; round < ROUNDS; round++) {
      await liveAndDie(way, [...targets, ...POINTS_AFTER_DEATHS], round === 0 ? 1 : 1000 + round);
    }
  });

  test("has died at each of them in both ways", { timeout: 240_000 }, async () => {
    const missed = (): [(typeof ways)[number], string][] =>
      ways.flatMap((way) => {
        return [...POINTS, ...POINTS_AFTER_DEATHS]
          .filter((name) => !deaths.has(`${way} ${name}`))
          .map((name) => [way, name] as const as [(typeof ways)[number], string]);
      });
    // One death may have kept a life from the point of another.
    for (let seed = 2; seed < 12; seed++) {
      for (const [way, name] of missed()) {
        await liveAndDie(way, POINTS.includes(name) ? [name] : [name, ...lives[seed % lives.length]!], seed);
      }
    }
    expect(missed()).toEqual([]);
    expect(POINTS.length).toBeGreaterThanOrEqual(30);
    expect([...harms].sort()).toEqual(["ahead", "lost", "older"]);
  });

  test.each(["block-file", "block-registry-file", "level-block-file", "merged-block-file", "side-file", "wal-group"])(
    "without the sync at %s that would be noticed",
    { timeout: 120_000 },
    async (site) => {
      let noticed = false;
      for (let i = 0; i < lives.length && !noticed; i++) {
        noticed = await liveAndDie("power lost", lives[i]!, 1, site).then(
          () => false,
          () => true,
        );
      }
      expect(noticed).toBe(true);
    },
  );

  afterAll(() => {
    const rows = [...POINTS, ...POINTS_AFTER_DEATHS].map((name) => {
      const died = ways.map((way) => `${way} ${deaths.get(`${way} ${name}`) ?? 0} times`).join(", ");
      return `${name}: passed ${hits.get(name) ?? 0} times, ${died}`;
    });
    console.log(`${rows.length} points\n${rows.join("\n")}`);
  });
});
