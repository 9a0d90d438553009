// test/unit/block/builder.test.ts: the contract of builders, for the one in this thread, one over a channel, and the worker on the real disk
// (dist/libs/block/builder-worker.js, made by the build).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type BlockBuilder,
  type BlockPiece,
  type BuildJob,
  ChannelBlockBuilder,
  InlineBlockBuilder,
  mergedOptions,
  PieceWriter,
  serveBuilder,
  verifyBlock,
  WorkerBlockBuilder,
} from "../../../libs/block/index.ts";
import {
  type FileSystem,
  NodeFileSystem,
  nodeClock,
  readWhole,
  SimClock,
  SimCrash,
  SimFileSystem,
} from "../../../libs/env/index.ts";
import {
  CanceledError,
  CorruptionError,
  ExecutionError,
  InternalError,
  InvalidError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { Draw } from "../kernel/head-programs.ts";
import {
  byKey,
  drawSeries,
  kernel,
  keyOf,
  openBlock,
  optionsOf,
  type TestSeries,
  writeBlock,
} from "./block-fixture.ts";

const scratch = mkdtempSync(join(tmpdir(), "tidemark-builder-"));
afterAll(() => rmSync(scratch, { recursive: true }));

interface Place {
  readonly fs: FileSystem;
  readonly folder: string;
  readonly builder: BlockBuilder;
}

function simulated(make: (fs: SimFileSystem) => BlockBuilder): Place & { fs: SimFileSystem } {
  const fs = new SimFileSystem();
  fs.makeDirectory("/blocks");
  return { fs, folder: "/blocks", builder: make(fs) };
}

function overChannel(fs: FileSystem): BlockBuilder {
  const { port1, port2 } = new MessageChannel();
  serveBuilder(port2, fs, kernel);
  return new ChannelBlockBuilder(port1);
}

const PLACES = {
  inline: () => simulated((fs) => new InlineBlockBuilder(fs)),
  channel: () => simulated(overChannel),
  worker: () => {
    const folder = mkdtempSync(join(scratch, "blocks-"));
    return { fs: new NodeFileSystem(), folder, builder: new WorkerBlockBuilder(nodeClock) };
  },
};

const series = byKey(drawSeries(new Draw(7), 12));

/** Pieces of so many series each; time columns are defined when first used. */
function* piecesOf(all: readonly TestSeries[], perPiece: number): Generator<BlockPiece, undefined> {
  const numbers = new Map<Float64Array, number>();
  const writer = new PieceWriter();
  for (const [i, { key, times, columns }] of all.entries()) {
    let number = numbers.get(times);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(times, number);
      writer.defineTimes(number, times);
    }
    writer.addSeries(key, number, ...columns);
    if ((i + 1) % perPiece === 0) yield writer.take();
  }
  yield writer.take();
  return undefined;
}

function jobOf(path: string, pieces: Iterator<BlockPiece, undefined>, more: Partial<BuildJob> = {}): BuildJob {
  return { path, options: optionsOf(), next: () => pieces.next().value, ...more };
}

/** A series whose key comes in the `n`th place, with times and values of its own. */
function seriesNumbered(n: number): TestSeries {
  const times = Float64Array.of(n + 1, n + 5);
  return { key: keyOf("a", { __name__: `m${String(n).padStart(6, "0")}` }), times, columns: [times.map((t) => t / 3)] };
}

describe.each(Object.entries(PLACES))("the builder %s", (_name, makePlace) => {
  let place: Place;
  beforeAll(() => {
    place = makePlace();
  });
  afterAll(() => place.builder.close());

  const path = (name: string): string => `${place.folder}/${name}`;
  const left = (): string[] => place.fs.list(place.folder).filter((name) => !name.startsWith("kept"));
  const build = (name: string, pieces: Iterator<BlockPiece, undefined>, more: Partial<BuildJob> = {}) =>
    place.builder.build(jobOf(path(name), pieces, more));

  test.each([1, 7, 1000])("writes what a writer of its own writes, in pieces of %i series", async (perPiece) => {
    const reference = new SimFileSystem();
    const wanted = writeBlock(reference, "/b", series);
    const summary = await build(`kept-${perPiece}`, piecesOf(series, perPiece));
    expect(summary).toEqual(wanted);
    const [bytes, wantedBytes] = [readWhole(place.fs, path(`kept-${perPiece}`))!, readWhole(reference, "/b")!];
    expect(Buffer.compare(bytes, wantedBytes)).toBe(0);
    expect(left()).toEqual([]);
  });

  test("with several columns per series", async () => {
    const wide = byKey(drawSeries(new Draw(8), 2, 3));
    const options = optionsOf({ columnsPerSeries: 3, level: "1m" });
    const reference = new SimFileSystem();
    const wanted = writeBlock(reference, "/b", wide, options);
    expect(await build("kept-wide", piecesOf(wide, 5), { options })).toEqual(wanted);
    expect(Buffer.compare(readWhole(place.fs, path("kept-wide"))!, readWhole(reference, "/b")!)).toBe(0);
  });

  test("a number may be given to other times by a later piece", async () => {
    const all = Array.from({ length: 40 }, (_, i) => seriesNumbered(i));
    const pieces = all.map(({ key, times, columns }) =>
      new PieceWriter()
        .defineTimes(5, times)
        .addSeries(key, 5, ...columns)
        .take(),
    );
    await build("kept-renumbered", pieces.values() as Iterator<BlockPiece, undefined>);
    const reader = openBlock(place.fs, path("kept-renumbered"));
    const read = all.map((_, i) => [...reader.times(reader.column(i).times)]);
    reader.close();
    expect(read).toEqual(all.map(({ times }) => [...times]));
  });

  test("takes the buffers of a piece away, and no more than two pieces before one is written", async () => {
    const pieces = [...piecesOf(series, 3)];
    const given: BlockPiece[] = [];
    let asked = 0;
    await build("kept-given", pieces.values() as Iterator<BlockPiece, undefined>, {
      next: () => {
        asked++;
        const piece = pieces[given.length];
        if (piece !== undefined) given.push(piece);
        return piece;
      },
    });
    expect(given).toHaveLength(pieces.length);
    // Not asked again after the end.
    expect(asked).toBe(pieces.length + 1);
    for (const piece of given) expect(Object.values(piece).map((array) => array.byteLength)).toEqual(Array(7).fill(0));
  });

  test("jobs run one after another, in their order", async () => {
    const done: string[] = [];
    const jobs = ["kept-1st", "kept-2nd", "kept-3rd"].map(async (name, i) => {
      await build(name, piecesOf(series.slice(0, 60 - i * 25), 2));
      done.push(name);
    });
    await Promise.all(jobs);
    expect(done).toEqual(["kept-1st", "kept-2nd", "kept-3rd"]);
  });

  const swapped = [series[1]!, series[0]!];
  const good = (): BlockPiece => [...piecesOf(series.slice(0, 4), 10)][0]!;
  test.each<[string, () => Iterator<BlockPiece, undefined>, string]>([
    ["keys out of order", () => piecesOf(swapped, 9), "want ascending keys"],
    ["keys out of order over pieces", () => piecesOf(swapped, 1), "want ascending keys"],
    ["no series", () => piecesOf([], 1), "got no series"],
    [
      "times out of range",
      () => piecesOf([{ ...seriesNumbered(3), times: Float64Array.of(0, 1) }], 1),
      "got time 0 after 0",
    ],
    [
      "a time column that nothing defines",
      () =>
        [
          { ...good(), timeNumbers: new Uint32Array(0), timeCounts: new Uint32Array(0), times: new Float64Array(0) },
        ].values() as Iterator<BlockPiece, undefined>,
      "which nothing defines",
    ],
    [
      "fewer values",
      () => [{ ...good(), values: good().values.slice(1) }].values() as Iterator<BlockPiece, undefined>,
      "got columns of",
    ],
    [
      "more values",
      () =>
        [{ ...good(), values: new Float64Array(good().values.length + 1) }].values() as Iterator<BlockPiece, undefined>,
      "values where its series have",
    ],
    [
      "fewer bytes of keys",
      () => [{ ...good(), keys: good().keys.slice(1) }].values() as Iterator<BlockPiece, undefined>,
      "counts that contradict",
    ],
    [
      "shared buffers",
      () => [{ ...good(), keys: new Uint8Array(new SharedArrayBuffer(9)) }].values() as Iterator<BlockPiece, undefined>,
      "want arrays with buffers of their own",
    ],
  ])("%s: InvalidError, nothing is left, and the next job is not affected", async (_case, pieces, message) => {
    const failed = build("bad", pieces());
    await expect(failed).rejects.toThrow(InvalidError);
    await expect(failed).rejects.toThrow(message);
    expect(left()).toEqual([]);
    await build("good", piecesOf(series.slice(0, 9), 2));
    place.fs.unlink(path("good"));
  });

  test("a file that is there is not written over", async () => {
    await build("kept-first", piecesOf(series.slice(0, 9), 2));
    const bytes = readWhole(place.fs, path("kept-first"))!;
    await expect(build("kept-first", piecesOf(series, 2))).rejects.toThrow(InvalidError);
    const merge = { inputs: [path("kept-first")], path: path("kept-first"), options: optionsOf() };
    await expect(place.builder.merge(merge)).rejects.toThrow(InvalidError);
    expect(Buffer.compare(readWhole(place.fs, path("kept-first"))!, bytes)).toBe(0);
  });

  test("an error of `next` is the job's; nothing is left", async () => {
    const pieces = piecesOf(series, 2);
    let count = 0;
    const next = (): BlockPiece | undefined => {
      if (++count === 4) throw new ExecutionError("cannot read head: got a test; want none");
      return pieces.next().value;
    };
    await expect(build("bad", pieces, { next })).rejects.toThrow(ExecutionError);
    expect(count).toBe(4);
    expect(left()).toEqual([]);
  });

  test("a folder that isn't there is the disk's refusal: InternalError", async () => {
    await expect(build("nowhere/b", piecesOf(series, 2))).rejects.toThrow(InternalError);
  });

  test("a canceled build leaves nothing, whenever it is canceled", async () => {
    for (const at of [0, 1, 2, 5]) {
      const pieces = piecesOf(series, 2);
      const cancel = new AbortController();
      let count = 0;
      if (at === 0) cancel.abort();
      const next = (): BlockPiece | undefined => {
        if (++count === at) cancel.abort();
        return pieces.next().value;
      };
      await expect(build("bad", pieces, { next, signal: cancel.signal })).rejects.toThrow(CanceledError);
      expect(count).toBe(at);
      expect(left()).toEqual([]);
    }
  });

  describe("merges", () => {
    const ids = [11, 12].map((n) => new Uint8Array(16).fill(n));
    const parts = [series.slice(0, 120), series.slice(60)];
    const inputs = (): string[] => [path("kept-a"), path("kept-b")];
    const mergeOf = (name: string) => {
      const readers = inputs().map((input) => openBlock(place.fs, input));
      const options = mergedOptions(
        readers.map(({ footer }) => footer),
        new Uint8Array(16).fill(99),
      );
      for (const reader of readers) reader.close();
      return { inputs: inputs(), path: path(name), options };
    };
    beforeAll(async () => {
      for (const [i, part] of parts.entries()) {
        await place.builder.build(jobOf(inputs()[i]!, piecesOf(part, 50), { options: optionsOf({ id: ids[i]! }) }));
      }
    });

    test("hold what both hold, and the inputs stay", async () => {
      const summary = await place.builder.merge(mergeOf("kept-merged"));
      expect(summary.series).toBe(series.length);
      expect(verifyBlock(place.fs, path("kept-merged"), kernel)).toEqual([]);
      const reader = openBlock(place.fs, path("kept-merged"));
      expect(reader.footer.parents).toEqual(ids);
      reader.close();
      for (const input of inputs()) expect(place.fs.stat(input)).toBeDefined();
    });

    test("a canceled one leaves nothing", async () => {
      const cancel = new AbortController();
      const merge = place.builder.merge({ ...mergeOf("bad"), signal: cancel.signal });
      // Many turns of either loop before the end: series are merged 16 at a time.
      await Promise.resolve();
      cancel.abort();
      await expect(merge).rejects.toThrow(CanceledError);
      expect(left()).toEqual([]);
    });

    test("options of other parents are refused", async () => {
      const merge = mergeOf("bad");
      for (const wrong of [{ parents: [] }, { shard: 4 }, { minMs: 5 }, { parents: [...ids].reverse() }]) {
        const options = { ...merge.options, ...wrong };
        await expect(place.builder.merge({ ...merge, options })).rejects.toThrow(InvalidError);
      }
      expect(left()).toEqual([]);
    });

    test("a damaged input, or none: CorruptionError with its path; nothing is left", async () => {
      const bytes = readWhole(place.fs, inputs()[0]!)!;
      bytes[40]! ^= 4;
      const file = place.fs.open(path("kept-damaged"), "create");
      file.write(bytes, 0);
      file.close();
      for (const name of ["kept-damaged", "gone"]) {
        const merge = place.builder.merge({ ...mergeOf("bad"), inputs: [path(name), inputs()[1]!] });
        const error: unknown = await merge.catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(CorruptionError);
        expect((error as CorruptionError).path).toBe(path(name));
      }
      expect(left()).toEqual([]);
    });
  });

  test("closing cancels what is at work and what waits", async () => {
    const other = makePlace();
    const endless = function* (): Generator<BlockPiece, undefined> {
      for (let i = 0; ; i++) yield* piecesOf([seriesNumbered(i)], 2);
    };
    let started = (): void => undefined;
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    const source = endless();
    const next = (): BlockPiece | undefined => {
      started();
      return source.next().value;
    };
    const path = `${other.folder}/bad`;
    const job = { path, options: optionsOf(), next };
    const jobs = [other.builder.build(job), other.builder.build({ ...job, path: `${path}2` })];
    const errors = Promise.all(jobs.map((one) => one.catch((error: unknown) => error)));
    await running;
    await other.builder.close();
    for (const error of await errors) expect(error).toBeInstanceOf(CanceledError);
    expect(other.fs.list(other.folder)).toEqual([]);
    await expect(other.builder.build(job)).rejects.toThrow(CanceledError);
  });
});

describe.each([
  ["inline", PLACES.inline],
  ["channel", PLACES.channel],
] as const)("disk errors of the builder %s", (_name, makePlace) => {
  test.each([
    ["no space", "write", "ENOSPC", UnavailableError],
    ["no files left", "open", "EMFILE", UnavailableError],
    ["a disk that can't be written", "write", "EIO", InternalError],
    ["a failed sync", "fdatasync", "EIO", InternalError],
    ["a sync for want of space", "fdatasync", "ENOSPC", InternalError],
    ["a failed sync of the name", "fsyncDir", "EIO", InternalError],
  ] as const)("%s", async (_case, kind, fault, wanted) => {
    const { fs, folder, builder } = makePlace();
    fs.faults = (call) => (call.kind === kind ? fault : undefined);
    const failed = builder.build(jobOf(`${folder}/b`, piecesOf(series, 9)));
    await expect(failed).rejects.toThrow(wanted);
    await expect(failed).rejects.toThrow(fault);
    // The name was there when its sync failed: the block is an orphan, if it is there at all.
    expect(fs.list(folder)).toEqual(kind === "fsyncDir" ? ["b"] : []);
    fs.faults = () => undefined;
    await builder.build(jobOf(`${folder}/c`, piecesOf(series, 9)));
    await builder.close();
  });

  test("a merge canceled in its middle leaves its inputs and nothing else", async () => {
    const { fs, folder, builder } = makePlace();
    await builder.build(jobOf(`${folder}/a`, piecesOf(series, 9)));
    const reader = openBlock(fs, `${folder}/a`);
    const options = mergedOptions([reader.footer], new Uint8Array(16));
    const cancel = new AbortController();
    fs.faults = ({ kind, path }) => {
      if (kind === "open" && path.endsWith("m.tmp")) cancel.abort();
      return undefined;
    };
    const merge = builder.merge({ inputs: [`${folder}/a`], path: `${folder}/m`, options, signal: cancel.signal });
    await expect(merge).rejects.toThrow(CanceledError);
    expect(cancel.signal.aborted).toBe(true);
    expect(fs.list(folder)).toEqual(["a"]);
    await builder.close();
  });

  test("an input that can't be read is damaged", async () => {
    const { fs, folder, builder } = makePlace();
    await builder.build(jobOf(`${folder}/a`, piecesOf(series, 9)));
    const reader = openBlock(fs, `${folder}/a`);
    const options = mergedOptions([reader.footer], new Uint8Array(16));
    fs.faults = (call) => (call.kind === "read" && call.path.endsWith("a") ? "EIO" : undefined);
    const merge = builder.merge({ inputs: [`${folder}/a`], path: `${folder}/m`, options });
    await expect(merge).rejects.toThrow(CorruptionError);
    expect(fs.list(folder)).toEqual(["a"]);
    await builder.close();
  });
});

test("no more than two pieces are ahead of the far end", async () => {
  const fs = new SimFileSystem();
  const { port1, port2 } = new MessageChannel();
  let written = 0;
  port2.on("message", (message: { kind: string }) => {
    if (message.kind === "piece") written++;
  });
  serveBuilder(port2, fs, kernel);
  const builder = new ChannelBlockBuilder(port1);
  const pieces = piecesOf(series, 5);
  const ahead: number[] = [];
  let asked = 0;
  const next = (): BlockPiece | undefined => {
    ahead.push(++asked - written);
    return pieces.next().value;
  };
  await builder.build(jobOf("/b", pieces, { next }));
  expect(Math.max(...ahead)).toBe(2);
  await builder.close();
});

test("the thread is there while there is work, and for a while after it", async () => {
  const folder = mkdtempSync(join(scratch, "blocks-"));
  const clock = new SimClock(1_000_000);
  const builder = new WorkerBlockBuilder(clock, 1000);
  const build = async (name: string): Promise<void> => {
    const job = builder.build(jobOf(`${folder}/${name}`, piecesOf(series, 5)));
    expect(builder.isRunning).toBe(true);
    await job;
  };
  const idle = async (ms: number, isRunning: boolean): Promise<void> => {
    await clock.advance(ms);
    expect(builder.isRunning).toBe(isRunning);
  };
  expect(builder.isRunning).toBe(false);
  await build("a");
  await idle(999, true);
  await build("b");
  await idle(999, true);
  await idle(1, false);
  await build("c");
  await idle(1000, false);
  await builder.close();
  await expect(builder.index(`${folder}/a`)).rejects.toThrow(CanceledError);
  expect(builder.isRunning).toBe(false);
});

test("a crash of a simulated process is no error of the disk", async () => {
  const { fs, folder, builder } = PLACES.inline();
  fs.faults = (call) => (call.kind === "fdatasync" ? "crash" : undefined);
  await expect(builder.build(jobOf(`${folder}/b`, piecesOf(series, 9)))).rejects.toThrow(SimCrash);
});

test("a piece is full at a quarter of a mebibyte", () => {
  const writer = new PieceWriter().defineTimes(0, new Float64Array(1000));
  let count = 0;
  while (!writer.full) {
    writer.addSeries(new Uint8Array(100), 0, new Float64Array(1000));
    count++;
  }
  expect(count).toBe(Math.ceil((2 ** 18 - 8000) / 8100));
  writer.take();
  expect(writer.full).toBe(false);
});
