// test/unit/cli/directory-commands.test.ts: verify, inspect and snapshot as processes, on a real directory and a running storage.
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, expect, test } from "vitest";
import { packageRoot } from "../../../libs/env/index.ts";
import { createLog, type FlagTable, formatHostPort } from "../../../libs/runtime/index.ts";
import { ALL_FLAGS, startAll } from "../../../services/cli/index.ts";

const dir = mkdtempSync(join(tmpdir(), "tidemark-directory-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const DATA_DIR = join(dir, "data");
const log = createLog({
  format: "json",
  level: "error",
  service: "test",
  stream: new Writable({ write: (_, __, done) => done() }),
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function tidemark(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(join(packageRoot(), "bin/tidemark"), args, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

function start(given: Readonly<Record<string, string>>): ReturnType<typeof startAll> {
  const texts: Record<string, string> = {
    httpListen: "127.0.0.1:0",
    headMemory: "32MiB",
    selfScrape: "1s",
    dataDir: DATA_DIR,
    ...given,
  };
  const flags = Object.entries(ALL_FLAGS as FlagTable).map(([key, flag]) => [
    key,
    flag.parse(texts[key] ?? flag.fallback ?? ""),
  ]);
  return startAll(Object.fromEntries(flags) as never, "9.9.9", log);
}

test("snapshot of a running storage, and of a stopped one; both and the original verify; damage is named", async () => {
  const running = await start({ enableAdminApi: "true" });
  const url = `http://${formatHostPort(running.http)}`;
  const answered = async (): Promise<number> => {
    const answer = await fetch(`${url}/api/v1/query?query=up`);
    return ((await answer.json()) as { data: { result: unknown[] } }).data.result.length;
  };
  await expect.poll(answered, { timeout: 120_000 }).toBe(1);
  const held = await tidemark("verify", "--data-dir", DATA_DIR);
  expect(held).toMatchObject({ code: 2, out: "" });
  expect(held.err).toMatch(/cannot lock .*held by process/);
  const asked = await tidemark("snapshot", "--url", url);
  expect(asked).toMatchObject({ code: 0, err: "" });
  const first = asked.out.trim();
  expect(first).toMatch(/^\d{8}T\d{6}Z-[0-9a-f]{16}$/);
  const put = await fetch(`${url}/api/v1/admin/tsdb/snapshot`, { method: "PUT" });
  expect(await put.json()).toEqual({ status: "success", data: { name: expect.stringMatching(/^\d{8}T/) } });
  // While it runs.
  const snapshot = join(DATA_DIR, "snapshots", first);
  expect(await tidemark("verify", "--data-dir", snapshot)).toMatchObject({ code: 0, err: "" });
  await running.close();
  const made = await tidemark("snapshot", "--data-dir", DATA_DIR);
  expect(made).toMatchObject({ code: 0, err: "" });
  for (const path of [DATA_DIR, snapshot, made.out.trim()]) {
    const { code, out } = await tidemark("verify", "--data-dir", path);
    expect(out).toMatch(/: all is whole: \d+ files, .* read in \d+\.\d s\n$/);
    expect(code).toBe(0);
  }

  // A snapshot opens like any directory.
  const opened = await start({ dataDir: snapshot, selfScrape: "off" });
  const query = await fetch(`http://${formatHostPort(opened.http)}/api/v1/query?query=last_over_time(up[1h])`);
  expect(((await query.json()) as { data: { result: unknown[] } }).data.result.length).toBe(1);
  await opened.close();

  const segment = join(DATA_DIR, "wal", readdirSync(join(DATA_DIR, "wal"))[0]!);
  const described = await tidemark("inspect", segment);
  expect(described.code).toBe(0);
  expect(described.out).toMatch(/^00000001\.wal: WAL segment, \d+ bytes\n {9}0 /);
  const bytes = readFileSync(segment);
  bytes[bytes.indexOf("tidemark_build_info")]! ^= 4;
  writeFileSync(segment, bytes);
  const damaged = await tidemark("verify", "--data-dir", DATA_DIR);
  expect(damaged.code).toBe(1);
  expect(damaged.out).toMatch(/^damaged: \S+00000001\.wal: \d+ bytes at \d+: checksum of a record of type \d\n/);
  const again = await tidemark("inspect", segment);
  expect(again.code).toBe(1);
  expect(again.out).toContain("DAMAGED: checksum of a record");
}, 240_000);

test("what can't be done is refused with one sentence", async () => {
  const cases: [string[], RegExp][] = [
    [["inspect"], /cannot run command: got no FILE; want one/],
    [["inspect", join(dir, "none")], /cannot inspect \S+: got no such file/],
    [["verify", "--data-dir", join(dir, "none")], /cannot verify \S+: got no such folder/],
    [["snapshot", "--data-dir", join(dir, "none")], /cannot make snapshot of \S+: got no such folder/],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await tidemark(...args);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  }
  const away = await tidemark("snapshot", "--url", "http://127.0.0.1:9");
  expect(away.err).toMatch(
    /cannot ask http:\/\/127\.0\.0\.1:9 for a snapshot: got .+; want a storage that listens there/,
  );
  expect(away.code).toBe(1);
});
