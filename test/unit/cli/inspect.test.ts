// test/unit/cli/inspect.test.ts: descriptions of the golden files, which are files themselves; and of damaged ones. A description that
// has changed for a good reason is written anew with vitest -u; the files that are described never are.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NodeFileSystem, readWhole, SimFileSystem } from "../../../libs/env/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { inspectLines } from "../../../services/cli/directory-commands.ts";
import { ROOT } from "../../needs.ts";
import { DATA_DIR, NOW, openDb, SEGMENT, write } from "../tsdb/db-fixture.ts";

const golden = (name: string): string => join(ROOT, "test/golden", name);

/** A golden file on a simulated disk, under a name. */
function onDisk(name: string, as: string): SimFileSystem {
  const fs = new SimFileSystem();
  fs.open(`/${as}`, "create").write(readFileSync(golden(name)), 0);
  return fs;
}

const inspect = (fs: SimFileSystem | NodeFileSystem, path: string): string[] => [...inspectLines(fs, path)];

describe("golden files", () => {
  test.each([
    ["block-1.tmb", "block-1.tmb.inspect.txt"],
    ["block-registry-1.txt", "block-registry-1.inspect.txt"],
    ["wal-1.wal", "wal-1.wal.inspect.txt"],
    ["tidemark-1.json", "tidemark-1.json.inspect.txt"],
  ])("%s", async (name, described) => {
    const text = `${inspect(new NodeFileSystem(), golden(name)).join("\n")}\n`;
    expect(text).not.toContain("DAMAGED");
    await expect(text).toMatchFileSnapshot(golden(described));
  });

  test("every byte is accounted for", () => {
    for (const name of ["block-1.tmb", "block-registry-1.txt", "wal-1.wal", "tidemark-1.json"]) {
      const parts = inspect(new NodeFileSystem(), golden(name))
        .slice(1)
        // Parts inside of others are indented.
        .filter((line) => !/^ *\d+ +\d+ {4}/.test(line) || name.endsWith("json") || name.endsWith("txt"))
        .map((line) => line.trim().split(/ +/).slice(0, 2).map(Number) as [number, number]);
      let end = 0;
      for (const [offset, size] of parts) {
        expect(offset, `${name} at ${end}`).toBe(end);
        end += size;
      }
      expect(end).toBe(readFileSync(golden(name)).length);
    }
  });
});

describe("damaged files", () => {
  test.each([
    ["block-1.tmb", "b.tmb"],
    ["block-registry-1.txt", "registry.json"],
    ["wal-1.wal", "00000001.wal"],
    ["tidemark-1.json", "tidemark.json"],
  ])("any byte of %s: described to the end, the damage named", (name, as) => {
    const fs = onDisk(name, as);
    const whole = inspect(fs, `/${as}`);
    const { length } = readWhole(fs, `/${as}`)!;
    for (let at = 0; at < length; at += 7) {
      fs.flip(`/${as}`, at, 16);
      const lines = inspect(fs, `/${as}`);
      fs.flip(`/${as}`, at, 16);
      expect(
        lines.some((line) => line.includes("DAMAGED")),
        `byte ${at}`,
      ).toBe(true);
    }
    expect(inspect(fs, `/${as}`)).toEqual(whole);
  });

  test("a segment whose header is damaged is read by the directory it is in; one of a later release is not guessed at", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs);
    await write(db, [[{ __name__: "m" }, NOW, 1]]);
    await db.close();
    fs.flip(SEGMENT(1), 5, 1);
    const lines = inspect(fs, SEGMENT(1));
    expect(lines.some((line) => line.includes("no record  DAMAGED: "))).toBe(true);
    expect(lines.some((line) => line.includes(`series 0 at ${NOW}: 1 (3ff0000000000000)`))).toBe(true);
    expect(lines.some((line) => line.includes('default {__name__="m"}'))).toBe(true);
    fs.unlink(`${DATA_DIR}/tidemark.json`);
    expect(inspect(fs, SEGMENT(1)).at(-1)).toContain("DAMAGED: no header, and no tidemark.json");
  });

  test("what is no file of ours is refused with the kinds that are", () => {
    const fs = new SimFileSystem();
    fs.open("/x", "create").write(new TextEncoder().encode("hello"), 0);
    expect(() => inspect(fs, "/x")).toThrow(InvalidError);
    expect(() => inspect(fs, "/x")).toThrow(/want one of: block registry, block, data directory identity, WAL segment/);
    expect(() => inspect(fs, "/y")).toThrow("cannot inspect /y: got no such file; want one");
  });
});
