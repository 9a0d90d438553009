// libs/block/job.ts: the work of a builder: writes a block of pieces, or merges blocks, in steps that leave nothing when they are not finished.
// The same code runs in the worker (builder-worker.ts) and inline. Invariant: a block that is there is never written over.
import type { FileSystem } from "../env/index.ts";
import type { PieceValue } from "../index/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { CanceledError, InvalidError } from "../model/index.ts";
import { type Derivation, deriveSteps, isLeaving } from "./derive.ts";
import type { BlockOptions } from "./footer.ts";
import { piecesInSteps } from "./index-pieces.ts";
import { type LeftOut, mergedOptions, mergeSteps } from "./merge.ts";
import { type BlockPiece, PieceReader } from "./piece.ts";
import { BlockReader } from "./reader.ts";
import { hiddenByPlace, TimeRanges, type Tombstone } from "./tombstone.ts";
import { KeptTombstones } from "./tombstones-kept.ts";
import { type BlockSummary, BlockWriter, compareBytes } from "./writer.ts";

/** The block to be built; plain data. */
export interface BuildTask {
  readonly path: string;
  readonly options: BlockOptions;
}

/** The blocks to be merged, and what becomes of them (mergedOptions, derivedOptions); plain data. */
export interface MergeTask extends BuildTask {
  readonly inputs: readonly string[];
  /** What is derived of the inputs instead: options as derivedOptions has them. */
  readonly derivation?: Derivation | undefined;
  /**
   * By input: what deletions hide of it. What is `due` is left out; what is not stays hidden, in the summary's tombstones: then there is one
   * input, because another might have samples of that time that nothing hides. When nothing is left there is no block, and the summary has no series.
   */
  readonly tombstones?: readonly InputTombstones[];
  /** Tenants whose past samples are left out. */
  readonly floors?: readonly Floor[];
}

/** A tenant's samples up to a time are past. */
export interface Floor {
  readonly tenant: string;
  readonly floorMs: number;
}

export interface InputTombstones {
  readonly due: readonly Tombstone[];
  readonly kept: readonly Tombstone[];
}

/** Series merged between two looks at whether to go on: some milliseconds. */
const SERIES_PER_STEP = 16;

const NOTHING_LEFT: BlockSummary = {
  ...{ sizeBytes: 0, series: 0, samples: 0, timeColumns: 0, valueBytes: 0, timeBytes: 0, headerBytes: 0 },
  ...{ timeHeaderBytes: 0, seriesBytes: 0, footerBytes: 0 },
};

function begin(fs: FileSystem, { path, options }: BuildTask, kernel: ColumnKernel): BlockWriter {
  if (fs.stat(path) !== undefined) throw new InvalidError(`cannot build ${path}: got a file there; want a new name`);
  return new BlockWriter(fs, path, options, kernel);
}

function abandon(writer: BlockWriter | undefined): void {
  try {
    writer?.abandon();
  } catch {
    // The error before this one counts. A draft that stays is removed at the next start.
  }
}

export function canceled(): CanceledError {
  return new CanceledError("cannot build block: got its cancellation; want the time to finish");
}

/** One block being built. After an error of any method it must be abandoned. */
export class BuildRun {
  private readonly writer: BlockWriter;
  private readonly pieces: PieceReader;

  constructor(fs: FileSystem, kernel: ColumnKernel, task: BuildTask) {
    this.writer = begin(fs, task, kernel);
    this.pieces = new PieceReader(task.options.columnsPerSeries);
  }

  add(piece: BlockPiece): void {
    this.pieces.read(piece, (key, times, columns) => {
      this.writer.addSeries(key, times, ...columns);
    });
  }

  finish(): BlockSummary {
    return this.writer.finish("block");
  }

  /** Leaves nothing behind. Never throws. */
  abandon(): void {
    abandon(this.writer);
  }
}

/** Merges; `pause` lets others run now and then, `isCanceled` is asked after it. Errors leave nothing behind. */
export async function runMerge(
  fs: FileSystem,
  kernel: ColumnKernel,
  task: MergeTask,
  pause: () => Promise<void>,
  isCanceled: () => boolean,
): Promise<BlockSummary> {
  const readers: BlockReader[] = [];
  let writer: BlockWriter | undefined;
  const rest = async (): Promise<void> => {
    await pause();
    if (isCanceled()) throw canceled();
  };
  try {
    for (const path of task.inputs) readers.push(new BlockReader(fs, path, kernel));
    const { derivation } = task;
    if (derivation === undefined) checkTask(task, readers);
    writer = begin(fs, task, kernel);
    const { tombstones = [] } = task;
    const leftOut = leftOutOf(task, readers);
    const kept = new KeptTombstones(tombstones[0]?.kept ?? [], readers[0]!.seriesCount);
    let count = 0;
    if (derivation !== undefined && !isLeaving(derivation)) {
      for (const steps = deriveSteps(derivation, readers, writer, kernel); steps.next().done !== true; ) {
        if (++count % SERIES_PER_STEP === 0) await rest();
      }
      await rest();
      return writer.finish("level-block");
    }
    for (const written of mergeSteps(readers, writer, leftOut)) {
      if (written !== undefined) kept.add(written.places[0]![1], writer.seriesCount - 1, written.times);
      if (++count % SERIES_PER_STEP === 0) await rest();
    }
    await rest();
    // Rows of no series say that none has any.
    if (writer.seriesCount === 0 && derivation?.kind !== "cut") {
      writer.abandon();
      return NOTHING_LEFT;
    }
    const summary = writer.finish(derivation === undefined ? "merged-block" : "level-block");
    return kept.isEmpty ? summary : { ...summary, tombstones: kept.take() };
  } catch (error) {
    abandon(writer);
    throw error;
  } finally {
    for (const reader of readers) reader.close();
  }
}

/** Makes the pieces of a block; as runMerge otherwise. */
export async function runIndex(
  fs: FileSystem,
  kernel: ColumnKernel,
  path: string,
  pause: () => Promise<void>,
  isCanceled: () => boolean,
): Promise<PieceValue[]> {
  const reader = new BlockReader(fs, path, kernel);
  try {
    for (const steps = piecesInSteps(reader); ; ) {
      const { done, value } = steps.next();
      if (done === true) return value;
      await pause();
      if (isCanceled()) throw canceled();
    }
  } finally {
    reader.close();
  }
}

/** What tombstones that are due, tenants' floors and the days of a cut take out. */
function leftOutOf({ tombstones = [], floors = [], derivation }: MergeTask, readers: readonly BlockReader[]): LeftOut {
  const hidden = readers.map(({ seriesCount }, i) => hiddenByPlace(tombstones[i]?.due ?? [], seriesCount));
  const past = readers.map(({ footer }) => {
    return footer.tenants.flatMap(({ tenant, first, count }) => {
      const floorMs = floors.find((floor) => floor.tenant === tenant)?.floorMs ?? Number.NEGATIVE_INFINITY;
      if (floorMs <= footer.minMs) return [];
      return [{ first, end: first + count, times: TimeRanges.of([[Number.NEGATIVE_INFINITY, floorMs]]) }];
    });
  });
  const cut = derivation?.kind === "cut" ? TimeRanges.of([[derivation.fromMs + 1, derivation.toMs]]) : undefined;
  return (reader, place) => {
    const ranges = hidden[reader]?.get(place);
    if (cut !== undefined) return ranges === undefined ? cut : cut.and(ranges);
    const tenant = past[reader]!.find(({ first, end }) => place >= first && place < end);
    return tenant === undefined || ranges === undefined ? (tenant?.times ?? ranges) : ranges.and(tenant.times);
  };
}

/** A merged block must say what its parents are. */
function checkTask({ path, options, tombstones }: MergeTask, readers: readonly BlockReader[]): void {
  if (readers.length > 1 && tombstones?.some(({ kept }) => kept.length > 0)) {
    throw new InvalidError(`cannot build ${path}: got tombstones to keep in a merge; want the block by itself`);
  }
  const wanted = mergedOptions(
    readers.map((reader) => reader.footer),
    options.id,
  );
  const parents = options.parents.length === wanted.parents.length;
  const same =
    options.shard === wanted.shard &&
    options.shardCount === wanted.shardCount &&
    options.level === wanted.level &&
    options.columnsPerSeries === wanted.columnsPerSeries &&
    compareBytes(options.hashSeed, wanted.hashSeed) === 0 &&
    parents &&
    wanted.parents.every((id, i) => compareBytes(id, options.parents[i]!) === 0) &&
    options.minMs <= wanted.minMs &&
    options.maxMs >= wanted.maxMs;
  if (!same) {
    throw new InvalidError(
      `cannot build ${path}: got options that contradict its parents; want theirs (mergedOptions)`,
    );
  }
}
