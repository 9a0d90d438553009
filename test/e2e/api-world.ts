// test/e2e/api-world.ts: a small world of series that ends at the present minute, and what holds it: a `tidemark all` or a
// cluster in this process, or any server that takes remote writes.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { writeStale } from "../../libs/model/index.ts";
import { createLog, type FlagTable, formatHostPort } from "../../libs/runtime/index.ts";
import {
  ALL_FLAGS,
  INSERT_FLAGS,
  SELECT_FLAGS,
  STORAGE_FLAGS,
  startAll,
  startInsert,
  startSelect,
  startStorage,
} from "../../services/cli/index.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "./remote-write.ts";

export const SCRAPE_S = 15;
export const SCRAPES = 120;

/** Half an hour of scrapes up to `endS`, which is a whole minute. */
export function worldSeries(endS: number): WriteSeries[] {
  const startS = endS - (SCRAPES - 1) * SCRAPE_S;
  const series = (
    labels: Record<string, string>,
    valueAt: (scrape: number) => number | "stale",
    from = 0,
    to = SCRAPES,
  ): WriteSeries => {
    const values = new Float64Array(to - from);
    for (let i = from; i < to; i++) {
      const value = valueAt(i);
      if (value === "stale") writeStale(values, i - from);
      else values[i - from] = value;
    }
    const times = Array.from(values, (_, i) => (startS + (from + i) * SCRAPE_S) * 1000);
    return { labels: Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)), times, values };
  };
  const out: WriteSeries[] = [];
  for (const [i, job] of ["a", "b"].entries()) {
    const target = { job, instance: `host-${i}:9100` };
    out.push(series({ __name__: "up", ...target }, () => 1));
    for (const code of ["200", "500"]) {
      out.push(series({ __name__: "http_requests_total", code, ...target }, (n) => n * (code === "200" ? 30 : 3) + i));
    }
    out.push(series({ __name__: "temperature", ...target }, (n) => Math.sin(n / 10) * 20 + i / 3));
    for (const [le, share] of [["0.1", 1], ["1", 3], ["+Inf", 4]] as const) {
      out.push(series({ __name__: "latency_bucket", le, ...target }, (n) => n * share));
    } // biome-ignore format: bounds side by side
    out.push(series({ __name__: "latency_sum", ...target }, (n) => n * 1.25));
    out.push(series({ __name__: "latency_count", ...target }, (n) => n * 4));
  }
  out.push(series({ __name__: "my.metric", "http.status": "200", é: 'a"b\\c\nd' }, (n) => n / 8));
  out.push(series({ __name__: "no_target" }, () => -0.000001));
  out.push(series({ __name__: "odd", kind: "nan" }, () => Number.NaN));
  out.push(series({ __name__: "odd", kind: "infinite" }, () => Number.POSITIVE_INFINITY));
  out.push(series({ __name__: "odd", kind: "large" }, () => 123456789012));
  out.push(series({ __name__: "odd", kind: "zero" }, () => -0));
  out.push(series({ __name__: "gone", job: "a" }, (n) => (n === SCRAPES - 4 ? "stale" : n), 0, SCRAPES - 3));
  out.push(series({ __name__: "old", job: "a" }, (n) => n, 0, SCRAPES - 40));
  return out;
}

/** Writes series; throws what the server said when it took them not. */
export async function load(base: string, series: readonly WriteSeries[]): Promise<void> {
  const { status, text } = await post(`${base}/api/v1/write`, compress(encodeWriteRequest(series)));
  if (status < 200 || status > 299) throw new Error(`cannot load ${base}: got ${status} ${text}; want 2xx`);
}

export interface Served {
  /** Where queries go. */
  readonly url: string;
  /** Where writes go. */
  readonly writes: string;
  /** Where samples are kept. */
  readonly storages: readonly string[];
  stop(): Promise<void>;
}

const log = createLog({
  format: "json",
  level: "error",
  service: "test",
  stream: new Writable({ write: (_line, _encoding, done) => done() }),
});

/** Values of flags: defaults, and what is given as text. */
function valuesOf(flags: FlagTable, given: Readonly<Record<string, string>>): never {
  const texts: Record<string, string> = { httpListen: "127.0.0.1:0", headMemory: "32MiB", ...given };
  const entries = Object.entries(flags).map(([key, flag]) => [key, flag.parse(texts[key] ?? flag.fallback ?? "")]);
  return Object.fromEntries(entries) as never;
}

/** `tidemark all` on a free port, with nothing but what a test writes. Flags by key, as text. */
export async function serveAll(flags: Readonly<Record<string, string>> = {}): Promise<Served> {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-api-"));
  const service = await startAll(
    valuesOf(ALL_FLAGS, { selfScrape: "off", dataDir: join(dir, "data"), ...flags }),
    "9.9.9",
    log,
  );
  await service.ready;
  const stop = async (): Promise<void> => {
    await service.close();
    rmSync(dir, { recursive: true, force: true });
  };
  const url = `http://${formatHostPort(service.http)}`;
  return { url, writes: url, storages: [url], stop };
}

/** Three storages, an insert and a select, over gRPC. */
export async function serveCluster(): Promise<Served> {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-api-"));
  const storages = await Promise.all(
    ["a", "b", "c"].map((name) => {
      const flags = { dataDir: join(dir, name), grpcListen: "127.0.0.1:0", shards: "64", enableAdminApi: "true" };
      return startStorage(valuesOf(STORAGE_FLAGS, flags), "9.9.9", log);
    }),
  );
  const storage = storages.map((one) => one.grpc!).join(",");
  const insert = await startInsert(valuesOf(INSERT_FLAGS, { storage }), "9.9.9", log);
  const select = await startSelect(valuesOf(SELECT_FLAGS, { storage }), "9.9.9", log);
  await insert.ready;
  const stop = async (): Promise<void> => {
    for (const service of [insert, select, ...storages]) await service.close();
    rmSync(dir, { recursive: true, force: true });
  };
  const at = (service: { readonly http: Parameters<typeof formatHostPort>[0] }): string =>
    `http://${formatHostPort(service.http)}`;
  return { url: at(select), writes: at(insert), storages: storages.map(at), stop };
}

/** The present minute, in Unix seconds. */
export function presentMinute(): number {
  return Math.floor(Date.now() / 60_000) * 60;
}
