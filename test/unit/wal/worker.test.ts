// test/unit/wal/worker.test.ts: the WAL on the real file system with its worker (dist/libs/wal/sync-worker.js, made by the build).
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { NodeFileSystem, nodeClock } from "../../../libs/env/index.ts";
import { type GroupStats, openWal, RECORD, RegistrationBody, type WalOptions } from "../../../libs/wal/index.ts";
import { appendSamples, type Opened, read, register, TestMetadata } from "./wal-fixture.ts";

const scratch = mkdtempSync(join(tmpdir(), "tidemark-wal-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const fs = new NodeFileSystem();

async function open(dataDir: string, options: Partial<WalOptions> = {}) {
  const opened: Opened = await read(fs, dataDir, nodeClock);
  const wal = openWal({
    fs,
    clock: nodeClock,
    dataDir,
    identity: opened.identity,
    replayed: opened.report,
    registrations: opened.series,
    metadata: new TestMetadata(),
    mode: "worker",
    ...options,
  });
  return { ...opened, wal };
}

describe("the worker", () => {
  test("many writers share syncs; all is there afterwards, across segments and starts", async () => {
    const dataDir = join(scratch, "many");
    const groups: GroupStats[] = [];
    const expected = new Set<string>();
    for (let life = 0; life < 2; life++) {
      const { wal, series } = await open(dataDir, { segmentBytes: 1 << 18, onGroup: (stats) => groups.push(stats) });
      const writer = async (name: string): Promise<void> => {
        const body = new RegistrationBody();
        for (let i = 0; i < 50; i++) {
          const number = series.seriesEnd;
          register(wal, series, [[number, `${name} ${i}`]], body);
          const text = `${life} ${name} ${i} ${"x".repeat(500)}`;
          await wal.durable(appendSamples(wal, text));
          expected.add(`samples:${text}`);
        }
      };
      await Promise.all(Array.from({ length: 16 }, (_, i) => writer(`writer ${i}`)));
      await wal.close();
    }
    const back = await read(fs, dataDir, nodeClock);
    expect(new Set(back.records)).toEqual(expected);
    expect(back.records.length).toBe(1600);
    expect(back.series.keys.size).toBe(1600);
    expect(back.report.damage).toEqual([]);
    expect(back.report.segments.length).toBeGreaterThan(4);
    expect(groups.reduce((sum, one) => sum + one.records, 0)).toBeGreaterThanOrEqual(3200);
    expect(groups.length).toBeLessThan(1600);
    expect(groups.every((one) => one.syncMs > 0)).toBe(true);
  });

  test("bytes reach the file as they are, up to the whole buffer", async () => {
    const dataDir = join(scratch, "bytes");
    const { wal } = await open(dataDir, { bufferBytes: 4 << 20 });
    const body = Uint8Array.from({ length: 3 << 20 }, (_, i) => (i * 2654435761) >>> 24);
    await wal.durable(wal.append(RECORD.lateSamples, body));
    await wal.close();
    const seen: Buffer[] = [];
    const { replay } = await import("../../../libs/wal/index.ts");
    const { identity } = await read(fs, dataDir, nodeClock);
    await replay(fs, nodeClock, dataDir, identity, {
      registration: () => undefined,
      samples: () => undefined,
      lateSamples: (bytes) => {
        seen.push(Buffer.from(bytes));
        return undefined;
      },
      metadata: () => undefined,
      side: () => undefined,
      deletion: () => undefined,
    });
    expect(seen.length).toBe(1);
    expect(seen[0]!.equals(body)).toBe(true);
    expect(statSync(join(dataDir, "wal", "00000001.wal")).size).toBe(512 + Math.ceil((body.length + 16) / 512) * 512);
  });

  test("rotations begin segments; a thread of its own removes old ones, and a stop waits for it", async () => {
    const dataDir = join(scratch, "cut");
    const { wal } = await open(dataDir);
    for (const text of ["a", "b", "c"]) {
      appendSamples(wal, text);
      const boundary = Number(text === "a" ? 2 : text === "b" ? 3 : 4);
      expect(await wal.rotate(() => undefined)).toBe(boundary);
    }
    await wal.durable(appendSamples(wal, "d"));
    while (wal.registeredFrom < 4) {
      appendSamples(wal, "e");
      await wal.durable(wal.position);
    }
    const names = (): string[] => fs.list(join(dataDir, "wal"));
    expect(names()).toEqual(["00000001.wal", "00000002.wal", "00000003.wal", "00000004.wal"]);
    await wal.truncate(3);
    expect(names()).toEqual(["00000003.wal", "00000004.wal"]);
    const running = wal.truncate(4);
    await undefined;
    await wal.close();
    await running;
    expect(names()).toEqual(["00000004.wal"]);
    expect((await read(fs, dataDir, nodeClock, 4)).records[0]).toBe("samples:d");
  });

  test("a disk that cannot be written ends the WAL with the reason", async () => {
    const dataDir = join(scratch, "gone");
    const { wal } = await open(dataDir);
    rmSync(join(dataDir, "wal"), { recursive: true });
    appendSamples(wal, "lost");
    await expect(wal.durable(wal.position)).rejects.toThrow(/ENOENT.*want a disk that can be written/);
    expect((await wal.failed).message).toContain("00000001.wal");
    await wal.close();
  });
});
