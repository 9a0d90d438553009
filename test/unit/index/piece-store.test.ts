// test/unit/index/piece-store.test.ts: what every store of pieces promises: level on the real disk, and its twin in memory.
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { LevelPieceStore, MemoryPieceStore, type PieceStore } from "../../../libs/index/index.ts";

const scratch = mkdtempSync(join(tmpdir(), "tidemark-index-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(scratch, `${folders++}`);
const bytes = (...all: number[]): Uint8Array => Uint8Array.from(all);
const shown = (value: Uint8Array | undefined): number[] | undefined => (value === undefined ? undefined : [...value]);

const STORES: Record<string, () => Promise<PieceStore>> = {
  memory: async () => new MemoryPieceStore(),
  level: async () => (await LevelPieceStore.open(newFolder())).store,
};

describe.each(Object.entries(STORES))("a store of pieces: %s", (_, open) => {
  test("gives what was put, removes what begins with a prefix, and tells keys in order", async () => {
    const store = await open();
    expect(store.get(bytes(1))).toBeUndefined();
    expect(await store.firstKey(new Uint8Array(0))).toBeUndefined();
    await store.write([
      { key: bytes(1, 0), value: bytes(1) },
      { key: bytes(1, 0, 255), value: bytes(2) },
      { key: bytes(1, 1), value: bytes(3) },
      { key: bytes(2), value: bytes() },
    ]);
    expect(shown(store.get(bytes(1, 0, 255)))).toEqual([2]);
    expect(shown(store.get(bytes(2)))).toEqual([]);
    expect(shown(await store.firstKey(bytes(1, 0, 1)))).toEqual([1, 0, 255]);
    await store.write([{ key: bytes(1, 0, 7), value: bytes(9) }], [bytes(1, 0)]);
    expect([bytes(1, 0), bytes(1, 0, 255), bytes(1, 0, 7), bytes(1, 1)].map((key) => shown(store.get(key)))).toEqual([
      undefined,
      undefined,
      [9],
      [3],
    ]);
    await store.close();
  });
});

describe("level", () => {
  test("keeps pieces from one start to the next", async () => {
    const folder = newFolder();
    const first = await LevelPieceStore.open(folder);
    await first.store.write([{ key: bytes(1), value: bytes(2) }]);
    await first.store.close();
    const second = await LevelPieceStore.open(folder);
    expect(second.problem).toBeUndefined();
    expect(shown(second.store.get(bytes(1)))).toEqual([2]);
    await second.store.close();
  });

  test("that could not write a file writes again, with all it had, once it is told to recover", async () => {
    const folder = newFolder();
    const { store } = await LevelPieceStore.open(folder);
    await store.write([{ key: bytes(1), value: bytes(2) }]);
    // Folders where its next tables would be.
    const taken = Array.from({ length: 60 }, (_, n) => join(folder, `${`${n + 3}`.padStart(6, "0")}.ldb`));
    for (const path of taken) mkdirSync(path);
    const fill = async (): Promise<void> => {
      for (let n = 0; n < 40; n++)
        await store.write([{ key: bytes(9, n), value: new Uint8Array(randomBytes(300_000)) }]);
    };
    await expect(fill()).rejects.toThrow("IO error");
    for (const path of taken) rmSync(path, { recursive: true });
    await expect(store.write([{ key: bytes(3), value: bytes(4) }])).rejects.toThrow("IO error");
    expect(shown(store.get(bytes(1)))).toEqual([2]);
    await store.recover();
    expect(shown(store.get(bytes(1)))).toEqual([2]);
    await fill();
    await store.write([{ key: bytes(3), value: bytes(4) }]);
    expect(shown(store.get(bytes(3)))).toEqual([4]);
    await store.close();
  });

  test("that can't be opened is made anew, and says so", async () => {
    const folder = newFolder();
    const first = await LevelPieceStore.open(folder);
    await first.store.write([{ key: bytes(1), value: bytes(2) }]);
    await first.store.close();
    for (const name of readdirSync(folder)) {
      if (name.startsWith("MANIFEST") || name === "CURRENT") writeFileSync(join(folder, name), "nonsense");
    }
    const { store, problem } = await LevelPieceStore.open(folder);
    expect(problem).toMatch(/\S/);
    expect(store.get(bytes(1))).toBeUndefined();
    await store.write([{ key: bytes(1), value: bytes(3) }]);
    expect(shown(store.get(bytes(1)))).toEqual([3]);
    await store.close();
  });
});
