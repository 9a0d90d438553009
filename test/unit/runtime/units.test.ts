// test/unit/runtime/units.test.ts: durations, sizes, counts and addresses, one line per case.
import { expect, test } from "vitest";
import {
  formatDurationMs,
  formatHostPort,
  formatSizeBytes,
  isLoopback,
  parseCount,
  parseDurationMs,
  parseHostPort,
  parseSizeBytes,
} from "../../../libs/runtime/index.ts";

test.each<[string, number | undefined]>([
  ["0", 0],
  ["0s", 0],
  ["5s", 5000],
  ["30d", 2_592_000_000],
  ["1y", 31_536_000_000],
  ["1h30m", 5_400_000],
  ["1m500ms", 60_500],
  ["1w", 604_800_000],
  ["", undefined],
  ["5", undefined],
  ["30x", undefined],
  ["1m1h", undefined],
  ["1s1s", undefined],
  ["-1s", undefined],
  ["1.5h", undefined],
  [" 5s", undefined],
  ["99999999999y", undefined],
])("duration %s", (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

test.each([
  [0, "0s"],
  [500, "500ms"],
  [60_000, "1m"],
  [5_400_000, "1h30m"],
  [2_592_000_000, "30d"],
  [31_536_000_000, "1y"],
  [604_800_000, "1w"],
  [61_001, "1m1s1ms"],
])("%d ms is written %s and read back", (ms, text) => {
  expect(formatDurationMs(ms)).toBe(text);
  expect(parseDurationMs(text)).toBe(ms);
});

test.each<[string, number | undefined]>([
  ["64MiB", 67_108_864],
  ["1.5GiB", 1_610_612_736],
  ["512B", 512],
  ["1TiB", 1_099_511_627_776],
  ["0B", 0],
  ["64", undefined],
  ["64MB", undefined],
  ["64mib", undefined],
  ["-1KiB", undefined],
  ["0.3B", undefined],
  ["MiB", undefined],
  ["9999999TiB", undefined],
])("size %s", (text, bytes) => {
  expect(parseSizeBytes(text)).toBe(bytes);
});

test.each([
  [512, "512B"],
  [67_108_864, "64MiB"],
  [1_610_612_736, "1.5GiB"],
])("%d bytes are written %s", (bytes, text) => {
  expect(formatSizeBytes(bytes)).toBe(text);
});

test.each<[string, number | undefined]>([
  ["20", 20],
  ["50e6", 50_000_000],
  ["0", 0],
  ["-1", undefined],
  ["1.5", undefined],
  ["1e30", undefined],
  ["ten", undefined],
])("count %s", (text, n) => {
  expect(parseCount(text)).toBe(n);
});

test.each<[string, { host: string; port: number } | undefined]>([
  ["127.0.0.1:8428", { host: "127.0.0.1", port: 8428 }],
  [":8428", { host: "", port: 8428 }],
  ["localhost:0", { host: "localhost", port: 0 }],
  ["[::1]:80", { host: "::1", port: 80 }],
  ["a.b-c_d:1", { host: "a.b-c_d", port: 1 }],
  ["8428", undefined],
  ["host", undefined],
  ["host:", undefined],
  ["host:65536", undefined],
  ["::1:80", undefined],
  ["http://host:80", undefined],
  ["host:80/path", undefined],
])("address %s", (text, address) => {
  expect(parseHostPort(text)).toEqual(address);
  if (address !== undefined) expect(formatHostPort(address)).toBe(text);
});

test.each([
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["localhost", true],
  ["::1", true],
  ["0.0.0.0", false],
  ["", false],
  ["10.0.0.1", false],
])("host %s is loopback: %s", (host, loopback) => {
  expect(isLoopback(host)).toBe(loopback);
});
