// test/unit/cli/flags.test.ts: the flag tables of all commands: defaults hold, forms are honest, combinations are checked.
import { expect, test } from "vitest";
import { type Flag, type FlagTable, flagName, flagVariable, runCommandLine } from "../../../libs/runtime/index.ts";
import { checkExposure, checkListeners, checkWriteSizes, readTls } from "../../../services/cli/checks.ts";
import { ALL_FLAGS, commands, INSERT_FLAGS, SELECT_FLAGS, STORAGE_FLAGS } from "../../../services/cli/index.ts";
import { DEFAULT_RETENTION, parseRetention } from "../../../services/cli/retention.ts";
import { parseTenantRetention } from "../../../services/cli/tenant-retention.ts";
import { DEFAULT_INSERT_LIMITS, LIMIT_FLAGS } from "../../../services/insert/index.ts";

const TABLES: Readonly<Record<string, FlagTable>> = {
  all: ALL_FLAGS,
  insert: INSERT_FLAGS,
  storage: STORAGE_FLAGS,
  select: SELECT_FLAGS,
};
const EVERY = Object.entries(TABLES).flatMap(([command, table]) =>
  Object.entries(table).map(([key, flag]) => [command, key, flag] as [string, string, Flag<unknown>]),
);

test.each(EVERY)("%s: %s accepts its default and the example in its form", (_, __, flag) => {
  if (flag.fallback !== undefined) expect(flag.parse(flag.fallback)).toBeDefined();
  const example = /such as (\S+?)(?:,|$)/.exec(flag.form)?.[1];
  if (example !== undefined) expect(flag.parse(example)).toBeDefined();
  for (const bound of /from (\S+) to ([^,]+)/.exec(flag.form)?.slice(1) ?? []) expect(flag.parse(bound)).toBeDefined();
  expect(flag.help).toMatch(/^[A-Z].*\.$/);
});

test.each(Object.keys(TABLES))("%s --help documents every flag", async (name) => {
  let printed = "";
  const options = { program: "tidemark", summary: "", version: "1", commands: commands("1"), env: {} };
  await runCommandLine({ ...options, print: (text) => (printed += text) }, [name, "--help"]);
  for (const key of Object.keys(TABLES[name]!)) {
    expect(printed).toContain(`${flagName(key)} `.trimEnd());
    expect(printed).toContain(flagVariable(key));
  }
});

test("every limit of an insert has its flag with the same default", () => {
  for (const [limit, name] of Object.entries(LIMIT_FLAGS)) {
    const flag = Object.entries(INSERT_FLAGS).find(([key]) => flagName(key) === name)?.[1] as Flag<number>;
    expect(flag.parse(flag.fallback!)).toBe(DEFAULT_INSERT_LIMITS[limit as keyof typeof LIMIT_FLAGS]);
  }
});

const ALL = ALL_FLAGS as FlagTable;

// Flag, text, value; undefined: refused.
test.each<[string, string, unknown]>([
  ["httpListen", "0.0.0.0:0", { host: "0.0.0.0", port: 0 }],
  ["httpListen", ":8428", { host: "", port: 8428 }],
  ["httpListen", "8428", undefined],
  ["shards", "64", 64],
  ["shards", "0", undefined],
  ["shards", "65537", undefined],
  ["replicationFactor", "1", 1],
  ["replicationFactor", "3", undefined],
  ["selfScrape", "off", 0],
  ["selfScrape", "1m", 60_000],
  ["selfScrape", "0s", undefined],
  ["selfScrape", "5", undefined],
  ["headMemory", "64MiB", 64 * 1024 * 1024],
  ["headMemory", "64MB", undefined],
  ["headMemory", "1MiB", undefined],
  ["headMemory", "8GiB", undefined],
  ["maxFuture", "10m", 600_000],
  ["maxFuture", "ten minutes", undefined],
  ["seriesMax", "5e6", 5_000_000],
  ["querySamplesMax", "50e6", 50_000_000],
  ["queryTimeout", "0s", undefined],
  ["queryConcurrency", "0", undefined],
  ["promqlExperimental", "true", true],
  ["promqlExperimental", "yes", undefined],
  ["logFormat", "json", "json"],
  ["logFormat", "xml", undefined],
  ["logLevel", "trace", undefined],
  ["shutdownTimeout", "0s", 0],
])("%s %s", (key, text, value) => {
  expect(ALL[key]!.parse(text)).toEqual(value);
});

test.each<[string, unknown]>([
  ["a:1,b:2", ["a:1", "b:2"]],
  ["a:1, b:2", ["a:1", "b:2"]],
  ["a:1", ["a:1"]],
  ["a:1,a:1", undefined],
  ["a:0", undefined],
  [":1", undefined],
  ["a", undefined],
  ["", undefined],
  ["a:1,", undefined],
])("storage list %j", (text, value) => {
  expect(INSERT_FLAGS.storage.parse(text)).toEqual(value);
});

const DAY = 86_400_000;
test.each<[string, readonly number[] | undefined]>([
  [DEFAULT_RETENTION, [30 * DAY, 365 * DAY, 5 * 365 * DAY]],
  ["raw=7d", [7 * DAY, 365 * DAY, 5 * 365 * DAY]],
  ["raw=2y", [730 * DAY, 730 * DAY, 5 * 365 * DAY]],
  ["raw=inf", [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
  ["1h=inf", [30 * DAY, 365 * DAY, Number.POSITIVE_INFINITY]],
  ["raw=30d,1m=7d", undefined],
  ["raw=30", undefined],
  ["raw=0s", undefined],
  ["raw", undefined],
  ["raw=1d,raw=2d", undefined],
  ["5m=1d", undefined],
  ["__proto__=1d", undefined],
  ["raw=1d=2d", undefined],
  ["", undefined],
])("retention %j", (text, spans) => {
  const parsed = parseRetention(text);
  expect(parsed && [parsed.rawMs, parsed.minuteMs, parsed.hourMs]).toEqual(spans);
});

test("combinations that cannot be are refused with the flag's name", () => {
  const at = (host: string, port: number) => ({ host, port });
  const plain = { grpcTlsCert: "", grpcTlsKey: "", grpcTlsCa: "" };
  expect(() => checkWriteSizes({ writeBodyMax: 2048, writeDecodedMax: 1024 })).toThrow(
    "cannot use --write-decoded-max: got 1KiB; want at least --write-body-max (2KiB)",
  );
  checkWriteSizes({ writeBodyMax: 1024, writeDecodedMax: 1024 });
  expect(() => checkListeners({ httpListen: at("h", 5), grpcListen: at("h", 5) })).toThrow("cannot use --grpc-listen");
  checkListeners({ httpListen: at("h", 0), grpcListen: at("h", 0) });
  const beyond = { ...plain, grpcListen: at("0.0.0.0", 8400), insecure: false };
  expect(() => checkExposure(beyond)).toThrow("want --grpc-tls-cert and --grpc-tls-key, or --insecure");
  checkExposure({ ...beyond, insecure: true });
  checkExposure({ ...beyond, grpcListen: at("127.0.0.1", 8400) });
  expect(readTls(plain)).toBeUndefined();
  expect(() => readTls({ ...plain, grpcTlsCa: "x" })).toThrow("got no --grpc-tls-cert");
  expect(() => readTls({ ...plain, grpcTlsCert: "x" })).toThrow("got no --grpc-tls-key");
  expect(() => readTls({ ...plain, grpcTlsCert: "/no/file", grpcTlsKey: "x" })).toThrow(
    "cannot read --grpc-tls-cert: got ENOENT",
  );
  const source = new URL(import.meta.url).pathname;
  expect(() =>
    readTls({ ...plain, grpcTlsCert: source.replace("flags.test", "banner.test"), grpcTlsKey: "x" }),
  ).toThrow("got no PEM block");
});

test("the retention of tenants", () => {
  expect(parseTenantRetention("")).toEqual(new Map());
  expect(parseTenantRetention("team-a=7d,b=inf")).toEqual(
    new Map([
      ["team-a", 604_800_000],
      ["b", Number.POSITIVE_INFINITY],
    ]),
  );
  for (const bad of ["a", "a=", "a=0s", "a=7", "=7d", "a=7d,a=8d", "a=7d,", "a=7d=8d", "..=7d", "a b=7d", "a=-7d"]) {
    expect(parseTenantRetention(bad), bad).toBeUndefined();
  }
});
