// test/unit/wal/lock.test.ts: one process per directory; locks of the dead are taken over, those of the living name them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  NodeFileSystem,
  nodeClock,
  nodeProcesses,
  type Processes,
  readWhole,
  SimClock,
  SimFileSystem,
} from "../../../libs/env/index.ts";
import { lockDirectory } from "../../../libs/wal/index.ts";
import { DATA_DIR } from "./wal-fixture.ts";

const LOCK = `${DATA_DIR}/LOCK`;

/** A host whose processes are the keys of `running`, started at the values. */
function host(pid: number, running: Record<number, string>, name = "host-a"): Processes {
  return { pid, host: name, startOf: (other) => running[other] };
}

function world(): { fs: SimFileSystem; clock: SimClock } {
  const fs = new SimFileSystem();
  const clock = new SimClock();
  fs.nowMs = () => clock.nowMs();
  return { fs, clock };
}

const holderOf = (fs: SimFileSystem): unknown => JSON.parse(new TextDecoder().decode(readWhole(fs, LOCK)));

describe("the directory's lock", () => {
  test("a living holder is named, with the path; after its release another may come", async () => {
    const { fs, clock } = world();
    const running = { 7: "100", 8: "101" };
    const lock = await lockDirectory(fs, clock, host(7, running), DATA_DIR);
    await expect(lockDirectory(fs, clock, host(8, running), DATA_DIR)).rejects.toThrow(
      "cannot lock /disk/data: got /disk/data/LOCK held by process 7; want one process per directory",
    );
    lock.release();
    expect(fs.list(DATA_DIR)).toEqual([]);
    await lockDirectory(fs, clock, host(8, running), DATA_DIR);
    expect(holderOf(fs)).toEqual({ pid: 8, start: "101", host: "host-a" });
  });

  test("the same process does not lock it twice", async () => {
    const { fs, clock } = world();
    await lockDirectory(fs, clock, host(7, { 7: "100" }), DATA_DIR);
    await expect(lockDirectory(fs, clock, host(7, { 7: "100" }), DATA_DIR)).rejects.toThrow("held by process 7");
  });

  test.each([
    ["the holder is gone", { 8: "300" }],
    ["its number was given to another process", { 7: "250", 8: "300" }],
  ])("taken over when %s", async (_name, running) => {
    const { fs, clock } = world();
    const old = await lockDirectory(fs, clock, host(7, { 7: "100" }), DATA_DIR);
    await lockDirectory(fs, clock, host(8, running), DATA_DIR);
    expect(holderOf(fs)).toMatchObject({ pid: 8 });
    // A lock that was lost is not released in another's place.
    old.release();
    expect(holderOf(fs)).toMatchObject({ pid: 8 });
    expect(fs.list(DATA_DIR)).toEqual(["LOCK"]);
  });

  test("after a restart of the container the same numbers mean another process", async () => {
    const { fs, clock } = world();
    await lockDirectory(fs, clock, host(1, { 1: "100" }), DATA_DIR);
    await lockDirectory(fs, clock, host(1, { 1: "900" }), DATA_DIR);
    expect(holderOf(fs)).toMatchObject({ start: "900" });
  });

  test("another host's lock is held while its heart beats, and stale half a minute later", async () => {
    const { fs, clock } = world();
    await lockDirectory(fs, clock, host(1, { 1: "100" }, "pod-a"), DATA_DIR);
    await clock.advance(120_000);
    const second = (): Promise<unknown> => lockDirectory(fs, clock, host(1, { 1: "200" }, "pod-b"), DATA_DIR);
    await expect(second()).rejects.toThrow("held by process 1 on pod-a, or one that ended less than 30 s ago");
    // The holder is killed: its timer beats no more.
    const beats = fs.calls;
    await clock.advance(6_000);
    expect(fs.calls).toBeGreaterThan(beats);
    fs.faults = (call) => (call.kind === "open" && call.path === LOCK ? "EIO" : undefined);
    await clock.advance(31_000);
    fs.faults = () => undefined;
    await second();
    expect(holderOf(fs)).toMatchObject({ host: "pod-b" });
  });

  test.each(["", "not a lock", '{"pid":7}'])(
    "a lock that a crash left half written (%j) is stale after a moment",
    async (text) => {
      const { fs, clock } = world();
      fs.makeDirectory("/disk");
      fs.makeDirectory(DATA_DIR);
      fs.open(LOCK, "create").write(new TextEncoder().encode(text), 0);
      const locked = lockDirectory(fs, clock, host(8, { 8: "1" }), DATA_DIR);
      await clock.advance(300);
      await locked;
      expect(holderOf(fs)).toMatchObject({ pid: 8 });
    },
  );

  test("two that find the same stale lock: one gets it", async () => {
    for (let at = 1; at < 40; at++) {
      const { fs, clock } = world();
      await lockDirectory(fs, clock, host(7, { 7: "1" }), DATA_DIR);
      const running = { 8: "2", 9: "3" };
      const start = fs.calls;
      let rival: Promise<unknown> | undefined;
      // The rival starts between two calls of the first.
      fs.faults = (call) => {
        if (rival !== undefined || call.number !== start + at) return undefined;
        rival = lockDirectory(fs, clock, host(9, running), DATA_DIR);
        rival.catch(() => undefined);
        return undefined;
      };
      const first = lockDirectory(fs, clock, host(8, running), DATA_DIR);
      const settled = Promise.allSettled([first]);
      await clock.advance(1_000);
      const outcomes: PromiseSettledResult<unknown>[] = await settled;
      if (rival === undefined) break;
      outcomes.push(...(await Promise.allSettled([rival])));
      const winners = outcomes.filter((one) => one.status === "fulfilled").length;
      expect(winners, `rival before call ${at}`).toBe(1);
    }
  });

  test("on the real system this process is the holder", async () => {
    const dir = mkdtempSync(join(tmpdir(), "tidemark-lock-"));
    const fs = new NodeFileSystem();
    const lock = await lockDirectory(fs, nodeClock, nodeProcesses, `${dir}/data`);
    await expect(lockDirectory(fs, nodeClock, nodeProcesses, `${dir}/data`)).rejects.toThrow(
      `held by process ${process.pid}`,
    );
    lock.release();
    (await lockDirectory(fs, nodeClock, nodeProcesses, `${dir}/data`)).release();
    rmSync(dir, { recursive: true });
  });
});
