// test/unit/wal/identity.test.ts: a directory knows whose it is, and refuses whatever it isn't.
import { describe, expect, test } from "vitest";
import { readWhole, SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import { identityPath, openIdentity } from "../../../libs/wal/index.ts";
import { appendSamples, DATA_DIR, open } from "./wal-fixture.ts";

const random = (): SeededRandom => new SeededRandom(1);
const PATH = identityPath(DATA_DIR);

function rewrite(fs: SimFileSystem, change: (text: string) => string): void {
  const text = new TextDecoder().decode(readWhole(fs, PATH));
  fs.unlink(PATH);
  fs.open(PATH, "create").write(new TextEncoder().encode(change(text)), 0);
}

describe("identity", () => {
  test("is drawn once and found again", () => {
    const fs = new SimFileSystem();
    const made = openIdentity(fs, DATA_DIR, { shardCount: 64 }, random());
    const found = openIdentity(fs, DATA_DIR, { shardCount: 64, clusterId: made.clusterId }, new SeededRandom(2));
    expect(found).toEqual(made);
    expect(made.hashSeed.length).toBe(16);
    expect(made.directoryId.length).toBe(16);
    expect(made.clusterId).toMatch(/^c-[0-9a-f]{16}$/);
  });

  test("takes over a cluster's id and seed", () => {
    const hashSeed = new Uint8Array(16).fill(9);
    const wanted = { shardCount: 256, clusterId: "c-1", nodeId: "storage-3", hashSeed };
    expect(openIdentity(new SimFileSystem(), DATA_DIR, wanted, random())).toMatchObject(wanted);
  });

  test.each([
    ["shard count", { shardCount: 128 }, "got shard count 64; want 128"],
    ["cluster id", { shardCount: 64, clusterId: "c-2" }, "want c-2"],
    ["node id", { shardCount: 64, nodeId: "n-2" }, "want n-2"],
    ["hash seed", { shardCount: 64, hashSeed: new Uint8Array(16) }, "want 00000000000000000000000000000000"],
  ])("another %s is refused", (_name, wanted, message) => {
    const fs = new SimFileSystem();
    openIdentity(fs, DATA_DIR, { shardCount: 64 }, random());
    expect(() => openIdentity(fs, DATA_DIR, wanted, random())).toThrow(message);
  });

  test("every flipped bit is refused or harmless to read", () => {
    const fs = new SimFileSystem();
    const made = openIdentity(fs, DATA_DIR, { shardCount: 64 }, random());
    const size = fs.stat(PATH)!.sizeBytes;
    let refused = 0;
    for (let bit = 0; bit < size * 8; bit++) {
      fs.flip(PATH, bit >> 3, 1 << (bit & 7));
      try {
        // White space may turn into other white space.
        expect(openIdentity(fs, DATA_DIR, { shardCount: 64 }, random())).toEqual(made);
      } catch (error) {
        expect((error as Error).message).toMatch(/^cannot open .*tidemark\.json: got /);
        refused++;
      }
      fs.flip(PATH, bit >> 3, 1 << (bit & 7));
    }
    expect(refused).toBeGreaterThan(size * 8 - 100);
  });

  test.each([
    ["an edited one", (text: string) => text.replace('"shardCount": 64', '"shardCount": 65'), "damaged or edited"],
    ["a newer one", (text: string) => text.replace('"version": 1', '"version": 2'), "got version 2; want 1"],
    ["no JSON", () => "{", "want it restored from a backup"],
    ["a list", () => "[]", "want it restored from a backup"],
    ["null", () => "null", "got something else than an object"],
    ["nothing", () => "", "want it restored from a backup"],
  ])("%s is refused", (_name, change, message) => {
    const fs = new SimFileSystem();
    openIdentity(fs, DATA_DIR, { shardCount: 64 }, random());
    rewrite(fs, change);
    expect(() => openIdentity(fs, DATA_DIR, { shardCount: 64 }, random())).toThrow(message);
  });

  test("a WAL without its identity is not taken for an empty directory", async () => {
    const fs = new SimFileSystem();
    const { wal } = await open(fs);
    appendSamples(wal, "x");
    await wal.close();
    fs.unlink(PATH);
    expect(() => openIdentity(fs, DATA_DIR, { shardCount: 64 }, random())).toThrow("but no /disk/data/tidemark.json");
  });
});
