// test/unit/env/fs.test.ts: the real and the simulated file system keep one contract.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  ensureDirectory,
  errorCode,
  type FileSystem,
  NodeFileSystem,
  readWhole,
  removeTree,
  replaceFile,
  replaceFileSoon,
  SimFileSystem,
} from "../../../libs/env/index.ts";

const scratch = mkdtempSync(join(tmpdir(), "tidemark-fs-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function simulated(): FileSystem {
  const fs = new SimFileSystem();
  fs.makeDirectory("/base");
  return fs;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (fs: FileSystem, path: string): string => new TextDecoder().decode(readWhole(fs, path));

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return errorCode(error);
  }
  return "no error";
}

describe.each([
  ["real", () => new NodeFileSystem() as FileSystem, scratch],
  ["simulated", simulated, "/base"],
])("%s file system", (_name, make, base) => {
  const fs = make();

  test("writes at offsets, reads across the end, truncates", () => {
    const file = fs.open(`${base}/a`, "create");
    file.write(bytes("world"), 6);
    file.write(bytes("hello"), 0);
    const into = new Uint8Array(20);
    expect(file.read(into, 0)).toBe(11);
    expect([...into.subarray(0, 11)]).toEqual([...bytes("hello"), 0, ...bytes("world")]);
    expect(file.read(into, 11)).toBe(0);
    expect(file.sizeBytes()).toBe(11);
    file.truncate(3);
    file.truncate(5);
    expect([...(readWhole(fs, `${base}/a`) ?? [])]).toEqual([...bytes("hel"), 0, 0]);
    file.fdatasync("test");
    file.close();
    expect(fs.stat(`${base}/a`)).toMatchObject({ kind: "file", sizeBytes: 5 });
  });

  test("buffers may lie in shared memory", () => {
    const sharedBytes = new Uint8Array(new SharedArrayBuffer(64)).subarray(10, 20);
    sharedBytes.fill(7);
    const file = fs.open(`${base}/shared`, "create");
    file.write(sharedBytes, 0);
    sharedBytes.fill(0);
    expect(file.read(sharedBytes, 0)).toBe(10);
    expect([...sharedBytes]).toEqual(new Array(10).fill(7));
    file.close();
  });

  test("says what went wrong by the system's names", () => {
    fs.open(`${base}/there`, "create").close();
    const readOnly = fs.open(`${base}/there`, "read");
    const cases: [string, () => unknown][] = [
      ["EEXIST", () => fs.open(`${base}/there`, "create")],
      ["ENOENT", () => fs.open(`${base}/missing`, "read")],
      ["ENOENT", () => fs.open(`${base}/missing`, "update")],
      ["ENOENT", () => fs.open(`${base}/missing/below`, "create")],
      ["ENOENT", () => fs.unlink(`${base}/missing`)],
      ["ENOENT", () => fs.rename(`${base}/missing`, `${base}/x`)],
      ["ENOENT", () => fs.list(`${base}/missing`)],
      ["ENOENT", () => fs.fsyncDir(`${base}/missing`, "test")],
      ["ENOTDIR", () => fs.list(`${base}/there`)],
      ["EEXIST", () => fs.makeDirectory(`${base}/there`)],
      ["EBADF", () => readOnly.write(bytes("x"), 0)],
      ["ENOENT", () => fs.link(`${base}/missing`, `${base}/x`)],
      ["EEXIST", () => fs.link(`${base}/there`, `${base}/there`)],
      ["ENOTEMPTY", () => fs.removeDirectory(base)],
      ["ENOENT", () => fs.removeDirectory(`${base}/missing`)],
      ["ENOENT", () => fs.space(`${base}/missing`)],
    ];
    for (const [code, action] of cases) expect(codeOf(action)).toBe(code);
    expect(fs.stat(`${base}/missing`)).toBeUndefined();
    readOnly.close();
  });

  test("links share their bytes; each name goes by itself; folders go with what is in them", () => {
    ensureDirectory(fs, `${base}/one`, "test");
    ensureDirectory(fs, `${base}/two/deep`, "test");
    replaceFile(fs, `${base}/one/a`, bytes("first"), "test");
    fs.link(`${base}/one/a`, `${base}/two/deep/b`);
    fs.open(`${base}/one/a`, "update").write(bytes("F"), 0);
    expect(textOf(fs, `${base}/two/deep/b`)).toBe("First");
    replaceFile(fs, `${base}/one/a`, bytes("second"), "test");
    expect(textOf(fs, `${base}/two/deep/b`)).toBe("First");
    fs.unlink(`${base}/one/a`);
    fs.removeDirectory(`${base}/one`);
    expect(fs.stat(`${base}/one`)).toBeUndefined();
    removeTree(fs, `${base}/two`);
    removeTree(fs, `${base}/two`);
    expect(fs.stat(`${base}/two`)).toBeUndefined();
  });

  test("replaces a file while the thread goes on; errors are those of the system", async () => {
    ensureDirectory(fs, `${base}/soon`, "test");
    for (const text of ["first", "second"]) {
      await replaceFileSoon(fs, `${base}/soon/a`, bytes(text), "test");
      expect([textOf(fs, `${base}/soon/a`), fs.list(`${base}/soon`)]).toEqual([text, ["a"]]);
    }
    await expect(fs.fsyncDirSoon(`${base}/none`, "test")).rejects.toMatchObject({ code: "ENOENT" });
    const file = fs.open(`${base}/soon/a`, "update");
    file.close();
    await expect(file.fdatasyncSoon("test")).rejects.toMatchObject({ code: "EBADF" });
  });

  test("tells the room that there is", () => {
    const { freeBytes, sizeBytes } = fs.space(base);
    expect(freeBytes).toBeGreaterThan(0);
    expect(sizeBytes).toBeGreaterThanOrEqual(freeBytes);
  });

  test("renames over a file, lists in order, makes folders down a path", () => {
    ensureDirectory(fs, `${base}/deep/er/est`, "test");
    ensureDirectory(fs, `${base}/deep/er/est`, "test");
    const folder = `${base}/deep/er/est`;
    for (const name of ["b", "c", "a"]) replaceFile(fs, `${folder}/${name}`, bytes(name), "test");
    fs.rename(`${folder}/c`, `${folder}/a`);
    fs.unlink(`${folder}/b`);
    expect(fs.list(folder)).toEqual(["a"]);
    expect(textOf(fs, `${folder}/a`)).toBe("c");
    expect(fs.stat(folder)?.kind).toBe("directory");
    replaceFile(fs, `${folder}/a`, bytes("again"), "test");
    expect(textOf(fs, `${folder}/a`)).toBe("again");
    expect(readWhole(fs, `${folder}/none`)).toBeUndefined();
  });
});
