// test/unit/cli/deletion-services.test.ts: series are deleted over HTTP: in one process, and by a select on all storages of a cluster.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { compressSync } from "snappy";
import { afterAll, expect, test } from "vitest";
import { createLog, type FlagTable, formatHostPort } from "../../../libs/runtime/index.ts";
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

const dir = mkdtempSync(join(tmpdir(), "tidemark-delete-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const stream = new Writable({ write: (_line, _encoding, done) => done() });
const log = createLog({ format: "json", level: "error", service: "test", stream });

function values<F extends FlagTable>(flags: F, given: Readonly<Record<string, string>>) {
  const texts: Record<string, string> = { httpListen: "127.0.0.1:0", headMemory: "32MiB", selfScrape: "off", ...given };
  const entries = Object.entries(flags).map(([key, flag]) => [key, flag.parse(texts[key] ?? flag.fallback ?? "")]);
  return Object.fromEntries(entries) as never;
}

const url = (service: RunningService, path: string): string => `http://${formatHostPort(service.http)}${path}`;

async function write(service: RunningService, names: readonly string[], timeMs: number, tenant = "default") {
  const data = names.map((name, value) => ({ name, labels: { job: "t" }, value }));
  const body = compressSync(encodeSamples([{ name: "", type: "gauge", help: "", values: data }], {}, timeMs));
  const headers = { "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant };
  return (await fetch(url(service, "/api/v1/write"), { method: "POST", body: new Uint8Array(body), headers })).status;
}

async function names(service: RunningService, tenant = "default"): Promise<string[]> {
  const answer = await fetch(url(service, `/select/${tenant}/prometheus/api/v1/label/__name__/values`));
  return ((await answer.json()) as { data: string[] }).data;
}

interface Answer {
  readonly status: number;
  readonly body:
    | { status: string; errorType: string; error: string; data: { id: string; series: number }[] }
    | undefined;
}

async function admin(
  service: RunningService,
  path: string,
  { method = "POST", tenant = "", form = "" } = {},
): Promise<Answer> {
  const prefix = tenant === "" ? "" : `/select/${tenant}/prometheus`;
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  const init = method === "GET" ? { method } : { method, headers, body: form };
  const answer = await fetch(url(service, `${prefix}/api/v1/admin/tsdb/${path}`), init);
  const text = await answer.text();
  return { status: answer.status, body: text.startsWith("{") ? JSON.parse(text) : undefined };
}

const failure = ({ status, body }: Answer) => [status, body?.status, body?.errorType, body?.error];

test("the admin API is off unless it was asked for, and says so as Prometheus does", async () => {
  const service = await startAll(values(ALL_FLAGS, { dataDir: join(dir, "off") }), "1", log);
  for (const path of ["delete_series?match[]=up", "clean_tombstones", "undelete_series"]) {
    expect(failure(await admin(service, path))).toEqual([500, "error", "unavailable", "admin APIs disabled"]);
  }
  await service.close();
});

test("all: deletes, lists, undoes, cleans; each tenant for itself; errors in Prometheus' words", async () => {
  const flags = values(ALL_FLAGS, { dataDir: join(dir, "all"), enableAdminApi: "true" });
  let service = await startAll(flags, "1", log);
  const timeMs = Date.now();
  for (const tenant of ["default", "team-b"]) expect(await write(service, ["a", "b", "c"], timeMs, tenant)).toBe(204);
  const bad = (path: string, form = "") => admin(service, path, { form }).then(failure);
  expect(await bad("delete_series")).toEqual([400, "error", "bad_data", "no match[] parameter provided"]);
  expect(await bad("delete_series", "match[]=a&start=x")).toEqual([
    400,
    "error",
    "bad_data",
    `invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp`,
  ]);
  const parsed = await bad("delete_series", "match[]=a&match[]={");
  expect(parsed.slice(0, 3)).toEqual([400, "error", "bad_data"]);
  expect(parsed[3]).toMatch(/^invalid parameter "match\[\]": 1:2: parse error: /);
  expect((await admin(service, "delete_series?match[]=a", { method: "GET" })).status).toBe(405);
  expect((await admin(service, "clean_tombstones", { method: "GET" })).status).toBe(405);
  expect(await names(service)).toEqual(["a", "b", "c"]);

  expect((await admin(service, "delete_series", { form: "match[]=a" })).status).toBe(204);
  expect((await admin(service, "delete_series?match[]=b", { method: "PUT", tenant: "team-b" })).status).toBe(204);
  expect((await admin(service, "delete_series", { form: `match[]=c&end=${timeMs / 1000 - 1}` })).status).toBe(204);
  expect([await names(service), await names(service, "team-b")]).toEqual([
    ["b", "c"],
    ["a", "c"],
  ]);
  const listed = await admin(service, "undelete_series", { method: "GET" });
  expect(listed.body!.data).toEqual([
    {
      ...{ id: expect.stringMatching(/^[0-9a-f]{16}$/), selectors: ["a"], start: null, end: null, series: 1 },
      ...{ deletedAt: expect.any(String), undoUntil: expect.any(String) },
    },
  ]);
  const { id } = listed.body!.data[0]!;

  await service.close();
  service = await startAll(flags, "1", log);
  expect([await names(service), await names(service, "team-b")]).toEqual([
    ["b", "c"],
    ["a", "c"],
  ]);
  expect(failure(await admin(service, "undelete_series", { form: `id=${id}`, tenant: "team-b" })).slice(0, 3)).toEqual([
    ...[400, "error", "bad_data"],
  ]);
  expect((await admin(service, "undelete_series")).body!.error).toContain('invalid parameter "id"');
  expect((await admin(service, "undelete_series", { form: `id=${id}` })).body).toEqual({
    ...{ status: "success", data: { id, series: 1 } },
  });
  expect(await names(service)).toEqual(["a", "b", "c"]);
  expect((await admin(service, "clean_tombstones")).status).toBe(204);
  expect((await admin(service, "undelete_series", { method: "GET", tenant: "team-b" })).body!.data).toEqual([]);
  expect(await names(service, "team-b")).toEqual(["a", "c"]);
  await service.close();
});

test("a cluster: a select deletes on all storages or says on which it could not", async () => {
  const storages = await Promise.all(
    ["a", "b"].map((name) => {
      const given = { dataDir: join(dir, name), grpcListen: "127.0.0.1:0", enableAdminApi: "true" };
      return startStorage(values(STORAGE_FLAGS, given), "1", log);
    }),
  );
  const storage = storages.map((s) => s.grpc!).join(",");
  const insert = await startInsert(values(INSERT_FLAGS, { storage }), "1", log);
  const select = await startSelect(values(SELECT_FLAGS, { storage, enableAdminApi: "true" }), "1", log);
  await insert.ready;
  const all = Array.from({ length: 100 }, (_, i) => `m${i}`).sort();
  expect(await write(insert, all, Date.now())).toBe(204);
  expect((await admin(select, "delete_series", { form: "match[]={__name__=~'m.'}" })).status).toBe(204);
  expect(await names(select)).toEqual(all.filter((name) => name.length > 2));
  const { data } = (await admin(select, "undelete_series", { method: "GET" })).body!;
  expect(data).toMatchObject([{ series: 10, selectors: ["{__name__=~'m.'}"] }]);
  expect((await admin(select, "undelete_series", { form: "id=0000000000000000" })).status).toBe(400);
  expect((await admin(select, "undelete_series", { form: `id=${data[0]!.id}` })).status).toBe(200);
  expect(await names(select)).toEqual(all);
  expect((await admin(select, "delete_series", { form: "match[]=m1" })).status).toBe(204);
  expect((await admin(select, "clean_tombstones")).status).toBe(204);
  expect(await names(select)).toEqual(all.filter((name) => name !== "m1"));
  await storages[0]!.close();
  const failed = await admin(select, "delete_series", { form: "match[]=m2" });
  expect([failed.status, failed.body!.errorType]).toEqual([503, "unavailable"]);
  expect(failed.body!.error).toContain(storages[0]!.grpc!);
  await insert.close();
  await select.close();
  await storages[1]!.close();
});

test("a storage that was not told to delete does not, whoever asks", async () => {
  const given = { dataDir: join(dir, "guarded"), grpcListen: "127.0.0.1:0" };
  const storage = await startStorage(values(STORAGE_FLAGS, given), "1", log);
  const select = await startSelect(values(SELECT_FLAGS, { storage: storage.grpc!, enableAdminApi: "true" }), "1", log);
  const refused = await admin(select, "delete_series", { form: "match[]=up" });
  expect([refused.status, refused.body!.error]).toEqual([
    503,
    expect.stringContaining("--enable-admin-api there, too"),
  ]);
  await select.close();
  await storage.close();
});
