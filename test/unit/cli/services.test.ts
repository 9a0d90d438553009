// test/unit/cli/services.test.ts: the compositions on free ports: everything in one process, and as a cluster of four.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { compressSync } from "snappy";
import { afterAll, expect, test } from "vitest";
import { createLog, type FlagTable, formatHostPort, METRICS } from "../../../libs/runtime/index.ts";
import {
  ALL_FLAGS,
  INSERT_FLAGS,
  type RunningService,
  SELECT_FLAGS,
  STORAGE_FLAGS,
  startAll,
  startInsert,
  startSelect,
  startStorage,
} from "../../../services/cli/index.ts";
import { encodeSamples } from "../../../services/cli/remote-write-message.ts";

const dir = mkdtempSync(join(tmpdir(), "tidemark-cli-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const lines: string[] = [];
const log = createLog({
  format: "json",
  level: "info",
  service: "test",
  stream: new Writable({
    write: (line, _encoding, done) => {
      lines.push(String(line));
      done();
    },
  }),
});

/** The values of a table: defaults, and what is given as text. */
function values<F extends FlagTable>(flags: F, given: Readonly<Record<string, string>>) {
  const texts: Record<string, string> = { httpListen: "127.0.0.1:0", headMemory: "32MiB", warmUp: "0s", ...given };
  const entries = Object.entries(flags).map(([key, flag]) => [key, flag.parse(texts[key] ?? flag.fallback ?? "")]);
  return Object.fromEntries(entries);
}

const url = (service: RunningService, path: string): string => `http://${formatHostPort(service.http)}${path}`;

async function query(service: RunningService, text: string, time?: number, tenant = "default") {
  const at = time === undefined ? "" : `&time=${time}`;
  const path = `/select/${tenant}/prometheus/api/v1/query?query=${encodeURIComponent(text)}${at}`;
  const answer = await fetch(url(service, path));
  return (await answer.json()) as {
    status: string;
    error?: string;
    data: { result: { metric: object; value: [number, string] }[] };
  };
}

async function write(service: RunningService, names: readonly string[], timeMs: number, tenant = "default") {
  const data = names.map((name, value) => ({ name, labels: { job: "t" }, value }));
  const body = compressSync(encodeSamples([{ name: "", type: "gauge", help: "", values: data }], {}, timeMs));
  const headers = { "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf" };
  const path = `/insert/${tenant}/prometheus/api/v1/write`;
  return fetch(url(service, path), { method: "POST", body: new Uint8Array(body), headers });
}

test("all: ready, writes, answers, own metrics, start page, stop, restart", async () => {
  const flags = values(ALL_FLAGS, { dataDir: join(dir, "all"), selfScrape: "1s" }) as never;
  const first = await startAll(flags, "9.9.9", log);
  await first.ready;
  expect(JSON.parse(lines[0]!)).toMatchObject({ msg: "all is listening", http: formatHostPort(first.http) });
  expect((await fetch(url(first, "/-/ready"))).status).toBe(200);
  const timeMs = Date.now();
  expect((await write(first, ["one", "two"], timeMs)).status).toBe(204);
  expect((await write(first, ["other"], timeMs, "team-b")).status).toBe(204);
  expect((await query(first, "two", timeMs / 1000)).data.result).toEqual([
    { metric: { __name__: "two", job: "t" }, value: [timeMs / 1000, "1"] },
  ]);
  expect((await query(first, "other", timeMs / 1000)).data.result).toEqual([]);
  expect((await query(first, "other", timeMs / 1000, "team-b")).data.result.length).toBe(1);
  await expect.poll(async () => (await query(first, 'up{job="tidemark"}')).data.result.length).toBe(1);
  const own = await query(first, 'tidemark_build_info{version="9.9.9"}');
  expect(own.data.result[0]!.metric).toMatchObject({ instance: formatHostPort(first.http), service: "all" });
  const described = await fetch(url(first, "/api/v1/metadata?metric=tidemark_ready"));
  const metadata = (await described.json()) as { data: { tidemark_ready: object[] } };
  expect(metadata.data.tidemark_ready).toEqual([{ type: "gauge", help: METRICS.tidemark_ready.help, unit: "" }]);
  const page = await (await fetch(url(first, "/"), { headers: { Host: "<script>" } })).text();
  expect(page).toContain("Tidemark 9.9.9");
  expect(page).not.toContain("<script");
  expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  expect(await first.close()).toBe(true);
  await expect(fetch(url(first, "/-/ready"))).rejects.toThrow();

  const second = await startAll(flags, "9.9.9", log);
  expect((await query(second, "two", timeMs / 1000)).data.result.length).toBe(1);
  expect((await write(second, ["one", "two"], timeMs)).status).toBe(204);
  expect((await query(second, "count(two)", timeMs / 1000)).data.result[0]!.value[1]).toBe("1");
  expect(await second.close()).toBe(true);
});

test("a directory in use, and a start that fails, leave nothing open", async () => {
  const flags = values(ALL_FLAGS, { dataDir: join(dir, "lock"), selfScrape: "off" }) as never;
  const first = await startAll(flags, "1", log);
  await expect(startAll(flags, "1", log)).rejects.toThrow(/cannot lock/);
  await first.close();
  const again = await startAll(flags, "1", log);
  expect(await again.close()).toBe(true);
});

test("bad writes are told what is wrong", async () => {
  const flags = values(ALL_FLAGS, { dataDir: join(dir, "bad"), selfScrape: "off", writeBodyMax: "2KiB" }) as never;
  const service = await startAll(flags, "1", log);
  const post = (body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}, path = "/api/v1/write") =>
    fetch(url(service, path), { method: "POST", body, headers });
  expect((await post(Buffer.from("garbage"))).status).toBe(400);
  expect((await post(Buffer.alloc(0))).status).toBe(400);
  expect((await post(Buffer.from("x"), { "Content-Type": "application/json" })).status).toBe(415);
  expect((await post(Buffer.from("x"), { "Content-Encoding": "gzip" })).status).toBe(415);
  const large = await post(Buffer.alloc(4096));
  expect([large.status, await large.text()]).toEqual([
    413,
    "cannot read body: got 4096 bytes; want at most 2048 (--write-body-max)\n",
  ]);
  expect((await post(Buffer.from("x"), {}, "/insert/a%2Fb/prometheus/api/v1/write")).status).toBe(400);
  expect((await fetch(url(service, "/api/v1/write"))).status).toBe(405);
  const future = await write(service, ["later"], Date.now() + 3_600_000);
  expect([future.status, await future.text()]).toEqual([400, expect.stringContaining("--max-future")]);
  expect((await write(service, ["now"], Date.now())).status).toBe(204);
  await service.close();
});

test("a cluster: two storages, an insert, a select", async () => {
  const storages = await Promise.all(
    ["a", "b"].map((name) =>
      startStorage(values(STORAGE_FLAGS, { dataDir: join(dir, name), grpcListen: "127.0.0.1:0" }) as never, "1", log),
    ),
  );
  const storage = storages.map((s) => s.grpc!).join(",");
  const insert = await startInsert(values(INSERT_FLAGS, { storage }) as never, "1", log);
  const select = await startSelect(values(SELECT_FLAGS, { storage }) as never, "1", log);
  await insert.ready;
  const timeMs = Date.now();
  const names = Array.from({ length: 200 }, (_, i) => `m${i}`);
  expect((await write(insert, names, timeMs)).status).toBe(204);
  expect((await query(select, 'count({job="t"})', timeMs / 1000)).data.result[0]!.value[1]).toBe("200");
  for (const service of [...storages, insert, select]) {
    const text = await (await fetch(url(service, "/metrics"))).text();
    expect(text).toContain(`service="${service.service}"`);
    expect(text).toContain("tidemark_ready 1");
  }
  expect(await insert.close()).toBe(true);
  await storages[0]!.close();
  const partial = await fetch(url(select, `/api/v1/query?query=count({job="t"})&time=${timeMs / 1000}`));
  expect(partial.status).toBe(503);
  expect(await select.close()).toBe(true);
  await storages[1]!.close();
});

test("an insert without its storage is up but not ready", async () => {
  const insert = await startInsert(values(INSERT_FLAGS, { storage: "127.0.0.1:1" }) as never, "1", log);
  expect((await fetch(url(insert, "/-/healthy"))).status).toBe(200);
  expect((await fetch(url(insert, "/-/ready"))).status).toBe(503);
  const refused = await write(insert, ["m"], Date.now());
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
  await insert.close();
  await insert.ready;
});
