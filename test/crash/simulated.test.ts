// test/crash/simulated.test.ts: the whole storage behind the whole insert on a disk that forgets what was not synced: every
// acknowledged sample is there once, bit for bit. Then the same with each sync call site taken out in turn, which must be noticed.
// FUZZ_RUNS=… runs that many seeds, FUZZ_SEED=… begins at another one.
import { afterAll, describe, expect, test } from "vitest";
import { Violation, World } from "./sim-world.ts";

const SEEDS = Number(process.env.FUZZ_RUNS ?? 250);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);
const SEEDS_MUTANT = 600;
const TIMEOUT_MS = process.env.FUZZ_RUNS === undefined ? 600_000 : 0;

/** Every sync call site there is. A site that the runs meet and this list lacks, or the reverse, fails the test. */
const SITES = [
  "block-file",
  "block-name",
  "block-registry-file",
  "block-registry-found",
  "block-registry-name",
  "blocks-folder",
  "data-directory",
  "identity-file",
  "identity-found",
  "identity-name",
  "index-batch",
  "index-name",
  "level-block-file",
  "level-block-name",
  "merged-block-file",
  "merged-block-name",
  "quarantine-folder",
  "side-draft-name",
  "side-file",
  "side-folder",
  "side-name",
  "wal-group",
  "wal-loss-file",
  "wal-loss-name",
  "wal-replayed",
  "wal-replayed-names",
  "wal-segment",
  "wal-truncated",
];

/**
 * Syncs whose absence this world does not notice. Another sync of the same directory follows before anything relies on the first: that of
 * the blocks folder after those of the identity, the registry's after a block's name. What comes back after a truncation is removed again.
 * What the index lacks is made again.
 * What was lost is noted again at the next start while the damage is there. test/unit/block/registry.test.ts notices the registry's own,
 * test/unit/tsdb/deletion-side.test.ts that of what a cut writes hidden.
 */
const COVERED = [
  "block-name",
  "block-registry-found",
  "blocks-folder",
  "identity-found",
  "identity-name",
  "index-batch",
  "index-name",
  "level-block-name",
  "merged-block-name",
  "quarantine-folder",
  "side-draft-name",
  "wal-loss-file",
  "wal-loss-name",
  "wal-truncated",
];
const NEEDED_SITES = SITES.filter((site) => !COVERED.includes(site));

/** Situations that the runs must have met, or they prove nothing. */
const MARKS = [
  "503",
  "WAL truncated",
  "blocks found",
  "blocks merged",
  "conflict lost",
  "conflict won",
  "crash at a roll",
  "crash in replay",
  "crash while starting",
  "crash while starting again",
  "cut into blocks",
  "damage in the last group",
  "deletion acknowledged",
  "deletion found after a crash",
  "deletion interrupted",
  "deletion undone",
  "disk full",
  "disk full and recovered",
  "files of histograms found",
  "histogram outvoted",
  "index harmed",
  "insert restarted",
  "late sample",
  "metadata kept",
  "no answer",
  "number reused",
  "out of bounds refused",
  "repeat dropped",
  "rows found",
  "rows made",
  "rolls under load",
  "sample acknowledged",
  "sample outvoted",
  "series forgotten",
  "stopped cleanly",
  "torn tail cut",
  "unacknowledged samples survived",
];

const marks = new Map<string, number>();
const sites = new Set<string>();
const ignore = (): void => {};

/** What is wrong with a seed's run, if anything. */
async function violation(
  seed: number,
  mark: (name: string) => void,
  ignoredSite?: string,
): Promise<string | undefined> {
  const world = new World(seed, mark);
  world.fs.ignoreSync((call) => call.site === ignoredSite);
  try {
    await world.run();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw new Error(`seed ${seed}: ${(error as Error).stack}`);
  } finally {
    for (const site of world.fs.syncSites) sites.add(site);
  }
}

describe("the ledger of the whole storage", () => {
  test(
    `${SEEDS} seeds: what was acknowledged is there once, bit for bit`,
    async () => {
      const mark = (name: string): void => {
        marks.set(name, (marks.get(name) ?? 0) + 1);
      };
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
        expect(await violation(seed, mark), `seed ${seed}`).toBeUndefined();
      }
    },
    TIMEOUT_MS,
  );

  test("all situations have been met", () => {
    expect(MARKS.filter((name) => !marks.has(name))).toEqual([]);
    expect([...marks.keys()].filter((name) => !MARKS.includes(name))).toEqual([]);
  });

  test("all sync call sites have been met", () => {
    expect([...sites].sort()).toEqual(SITES);
  });

  test.each(NEEDED_SITES)(
    "without the sync at %s it is violated",
    async (site) => {
      let seed = FIRST_SEED;
      while (seed < FIRST_SEED + SEEDS_MUTANT && (await violation(seed, ignore, site)) === undefined) seed++;
      expect(seed - FIRST_SEED).toBeLessThan(SEEDS_MUTANT);
    },
    600_000,
  );

  test("a run repeats itself by its seed", async () => {
    const trace = async (): Promise<string> => {
      const world = new World(4711, ignore);
      const calls: string[] = [];
      world.fs.ignoreSync((call) => {
        calls.push(`${call.number} ${call.kind} ${call.site} ${call.path}`);
        return false;
      });
      await world.run();
      return calls.join("\n");
    };
    expect(await trace()).toBe(await trace());
  });

  afterAll(() => {
    console.log([...marks].map(([name, count]) => `${name}: ${count}`).join(", "));
  });
});
