// test/unit/block/derive.test.ts: blocks that builders derive of others: rows where they pay, rests, joins and cuts, over each way to a builder.
import { MessageChannel } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import {
  type BlockBuilder,
  type BlockReader,
  ChannelBlockBuilder,
  type Derivation,
  derivedOptions,
  InlineBlockBuilder,
  serveBuilder,
  verifyBlock,
} from "../../../libs/block/index.ts";
import { SimFileSystem } from "../../../libs/env/index.ts";
import {
  CorruptionError,
  InvalidError,
  ROW,
  ROW_COLUMNS,
  ROW_LEVELS,
  ROW_MS,
  type RowLevel,
} from "../../../libs/model/index.ts";
import { contentOf, kernel, keyOf, openBlock, type TestSeries, writeBlock } from "./block-fixture.ts";
import { naiveRows } from "./naive-rows.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const STEP = 1000;
const COUNT = 4000;
const ids = (n: number): Uint8Array => new Uint8Array(16).fill(n);

let state = 99;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** A lively gauge and a counter, which pay; a constant, which pays where headers are shared; values of a few minutes, which never do. */
function seriesOf(fromMs: number): TestSeries[] {
  const times = Float64Array.from({ length: COUNT }, (_, i) => fromMs + (i + 1) * STEP);
  const few = Float64Array.from({ length: 5 }, (_, i) => fromMs + (i + 1) * 40 * 60_000);
  let counter = 0;
  return [
    ["a", times, () => random(1_000_000) / 1000],
    ["b", times, () => (counter = random(500) === 0 ? 0 : counter + random(1000))],
    ["c", times, () => 7],
    ["d", few, () => random(100)],
  ].map(([name, own, value]) => ({
    key: keyOf("default", { __name__: name as string }),
    times: own as Float64Array,
    columns: [(own as Float64Array).map(value as () => number)],
  }));
}

const BUILDERS: Record<string, (fs: SimFileSystem) => BlockBuilder> = {
  inline: (fs) => new InlineBlockBuilder(fs),
  channel: (fs) => {
    const { port1, port2 } = new MessageChannel();
    serveBuilder(port2, fs, kernel);
    return new ChannelBlockBuilder(port1);
  },
};

describe.each(Object.entries(BUILDERS))("derived by a builder: %s", (_, make) => {
  function begin() {
    const fs = new SimFileSystem();
    fs.makeDirectory("/b");
    return { fs, builder: make(fs) };
  }

  async function derive(
    fs: SimFileSystem,
    builder: BlockBuilder,
    derivation: Derivation,
    inputs: readonly string[],
    path: string,
    range: { minMs: number; maxMs: number },
  ): Promise<BlockReader> {
    const readers = inputs.map((input) => openBlock(fs, input));
    const options = derivedOptions(
      derivation,
      readers.map((reader) => reader.footer),
      ids(path.charCodeAt(3)),
      range,
    );
    await builder.merge({ inputs, path, options, derivation });
    expect(verifyBlock(fs, path, kernel)).toEqual([]);
    return openBlock(fs, path);
  }

  const namesOf = (reader: BlockReader): string =>
    Array.from({ length: reader.seriesCount }, (_, i) => reader.labels(i)[1]).join("");
  const day = (n: number) => ({ minMs: n * DAY, maxMs: (n + 1) * DAY });

  test("rows are those of their samples, where they halve their bytes; the rest is kept", async () => {
    const { fs, builder } = begin();
    const all = seriesOf(0);
    writeBlock(fs, "/b/raw", all, { ...day(0), id: ids(1) });
    for (const level of ROW_LEVELS) {
      const rows = await derive(fs, builder, { kind: "rows", level }, ["/b/raw"], `/b/${level}`, day(0));
      expect(rows.footer).toMatchObject({ level, parents: [ids(1)], columnsPerSeries: ROW_COLUMNS, ...day(0) });
      expect(namesOf(rows)).toBe(level === "1m" ? "ab" : "abc");
      for (let i = 0; i < rows.seriesCount; i++) {
        const { times, columns } = all[i]!;
        const twin = naiveRows(times, columns[0]!, ROW_MS[level]);
        const entry = rows.column(i);
        expect([...rows.times(entry.times)]).toEqual(twin.map(({ end }) => end));
        const column = (which: number): number[] => {
          const out = new Float64Array(entry.header.count);
          rows.readValues(rows.column(i, which), out);
          return [...out];
        };
        expect(column(ROW.COUNT)).toEqual(twin.map(({ count }) => count));
        expect(column(ROW.MAX)).toEqual(twin.map(({ max }) => max));
        expect(column(ROW.FIRST)).toEqual(twin.map(({ first }) => first));
        expect(column(ROW.LAST_MS)).toEqual(twin.map(({ end, lastTime }) => end - lastTime));
        column(ROW.SUM).forEach((sum, k) => {
          expect(sum).toBeCloseTo(twin[k]!.sum, 6);
        });
      }
      const rest = await derive(
        fs,
        builder,
        { kind: "rest", level },
        ["/b/raw", `/b/${level}`],
        `/b/+${level}`,
        day(0),
      );
      expect(rest.footer).toMatchObject({ level, parents: [ids(1)], columnsPerSeries: 1 });
      expect(namesOf(rest)).toBe(level === "1m" ? "cd" : "d");
      const kept = contentOf(openBlock(fs, "/b/raw")).slice(level === "1m" ? 2 : 3);
      expect(contentOf(rest)).toEqual(kept);
    }
    // What a minute's rest has is kept for an hour's as well, unless there are rows.
    const last = await derive(fs, builder, { kind: "rest", level: "1h" }, ["/b/+1m", "/b/1h"], "/b/z", day(0));
    expect(namesOf(last)).toBe("d");
    expect(last.footer.parents).toEqual([ids(1)]);
    await builder.close();
  });

  test("rows of an hour that halve their bytes only once they are joined are made on every day", async () => {
    const { fs, builder } = begin();
    const days = 12;
    const rows: string[] = [];
    let rawBytes = 0;
    for (let d = 0; d < days; d++) {
      const times = Float64Array.from({ length: 3840 }, (_, i) => d * DAY + (i + 1) * 22_500);
      const seldom = Array.from({ length: 8 }, (_, i): TestSeries => {
        let value = d * 10_000;
        const values = times.map(() => {
          if (random(33) === 0) value += random(100);
          return value;
        });
        return { key: keyOf("default", { __name__: `m${i}` }), times, columns: [values] };
      });
      writeBlock(fs, `/b/r${d}`, seldom, { ...day(d), id: ids(d + 1) });
      const raw = openBlock(fs, `/b/r${d}`);
      for (let i = 0; i < raw.seriesCount; i++) rawBytes += raw.column(i).header.payloadBytes;
      const path = `/b/${"abcdefghijkl"[d]}`;
      const own = await derive(fs, builder, { kind: "rows", level: "1h" }, [`/b/r${d}`], path, day(d));
      expect(own.seriesCount).toBe(8);
      rows.push(path);
    }
    const joined = await derive(fs, builder, { kind: "join" }, rows, "/b/z", { minMs: 0, maxMs: days * DAY });
    let joinedBytes = 0;
    for (let i = 0; i < joined.seriesCount; i++) {
      for (let c = 0; c < ROW_COLUMNS; c++) joinedBytes += joined.column(i, c).header.payloadBytes;
    }
    expect(joinedBytes).toBeLessThan(rawBytes / 2);
    await builder.close();
  });

  test("joined rows are all rows, and name all raw blocks; a day can be cut out of them", async () => {
    const { fs, builder } = begin();
    const level: RowLevel = "1h";
    for (const n of [0, 1, 2]) {
      writeBlock(fs, `/b/raw${n}`, seriesOf(n * DAY), { ...day(n), id: ids(n + 1) });
      await derive(fs, builder, { kind: "rows", level }, [`/b/raw${n}`], `/b/r${n}`, day(n));
    }
    const range = { minMs: 0, maxMs: 3 * DAY };
    const joined = await derive(fs, builder, { kind: "join" }, ["/b/r0", "/b/r1", "/b/r2"], "/b/j", range);
    expect(joined.footer).toMatchObject({ level, parents: [ids(1), ids(2), ids(3)], ...range });
    expect(joined.times(joined.column(0).times).length).toBe(3 * 2);
    const without: Derivation = { kind: "cut", fromMs: DAY, toMs: 2 * DAY, parents: [ids(2)] };
    const cut = await derive(fs, builder, without, ["/b/j"], "/b/c", range);
    expect(cut.footer.parents).toEqual([ids(1), ids(3)]);
    const again = await derive(fs, builder, { kind: "join" }, ["/b/c", "/b/r1"], "/b/k", range);
    expect(contentOf(again)).toEqual(contentOf(joined));
    const ends = [...cut.times(cut.column(0).times)];
    expect(ends).toEqual([...joined.times(joined.column(0).times)].filter((end) => end <= DAY || end > 2 * DAY));
    await builder.close();
  });

  test("where no series' rows pay the block says so; a damaged input leaves nothing", async () => {
    const { fs, builder } = begin();
    const few = seriesOf(0).slice(3);
    writeBlock(fs, "/b/raw", few, { ...day(0), id: ids(1) });
    const rows = await derive(fs, builder, { kind: "rows", level: "1m" }, ["/b/raw"], "/b/1m", day(0));
    expect([rows.seriesCount, rows.footer.samples, rows.footer.tenants]).toEqual([0, 0, []]);
    const rest = await derive(fs, builder, { kind: "rest", level: "1m" }, ["/b/raw", "/b/1m"], "/b/r", day(0));
    expect(rest.seriesCount).toBe(1);
    writeBlock(fs, "/b/bad", seriesOf(0), { ...day(0), id: ids(2) });
    const file = fs.open("/b/bad", "update");
    file.write(Uint8Array.of(0xff, 0xff, 0xff), 3000);
    file.close();
    const options = derivedOptions({ kind: "rows", level: "1h" }, [openBlock(fs, "/b/bad").footer], ids(5), day(0));
    const job = { inputs: ["/b/bad"], path: "/b/x", options, derivation: { kind: "rows", level: "1h" } as const };
    await expect(builder.merge(job)).rejects.toThrow(CorruptionError);
    expect(fs.list("/b").filter((name) => name.startsWith("x"))).toEqual([]);
    await builder.close();
  });
});

test("inputs of several shards derive nothing", () => {
  const fs = new SimFileSystem();
  fs.makeDirectory("/b");
  writeBlock(fs, "/b/a", seriesOf(0), { minMs: 0, maxMs: DAY, shard: 1 });
  writeBlock(fs, "/b/b", seriesOf(0), { minMs: 0, maxMs: DAY, shard: 2 });
  const footers = ["/b/a", "/b/b"].map((path) => openBlock(fs, path).footer);
  expect(() => derivedOptions({ kind: "join" }, footers, ids(1), { minMs: 0, maxMs: DAY })).toThrow(InvalidError);
  expect(() => derivedOptions({ kind: "join" }, [], ids(1), { minMs: 0, maxMs: HOUR })).toThrow(InvalidError);
});
