// libs/tsdb/level-keeper.ts: makes, renews, joins and drops blocks of rows as libs/block/plan-levels.ts says, one after another.
// A step builds blocks first and changes the registry then: a crash or a full disk in between costs the work, and queries go on with samples.
import {
  type BlockBuilder,
  type BlockEntry,
  blockFileName,
  blockPath,
  DAY_MS,
  type Derivation,
  derivedOptions,
  dueAndKept,
  entryOf,
  heldByLevels,
  type LevelBlock,
  type LevelRetention,
  type LevelStep,
  planLevels,
  type RegistryChange,
} from "../block/index.ts";
import { errorText, type Random } from "../env/index.ts";
import { CorruptionError, InvalidError } from "../model/index.ts";
import { levelBlockOf } from "./fresh-rows.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface LevelKeeperOptions {
  readonly builder: BlockBuilder;
  readonly random: Random;
  readonly dataDir: string;
  readonly retentionMs: LevelRetention;
  readonly nowMs: () => number;
  /** The live blocks as they are now. */
  readonly blocks: () => readonly BlockEntry[];
  readonly stored: ReadonlyMap<string, StoredBlock>;
  readonly replaceBlocks: (change: RegistryChange) => Promise<void>;
  /** Removes files that were built and are not needed. */
  readonly discard: (entries: readonly BlockEntry[]) => void;
  readonly onProblem: (problem: string) => void;
  /** Takes the damaged block that an error is about out of use, if there is one. */
  readonly isQuarantined: (error: unknown) => boolean;
  /** Whether a deletion can't be undone any more. */
  readonly isDue: (deletion: string) => boolean;
  /** Lets others have their turn. */
  readonly pause: () => Promise<void>;
  /** Room on the disk now: all of it, and what of it is beyond the reserve. */
  readonly room: () => { readonly freeBytes: number; readonly spareBytes: number };
}

/** Days settle and blocks expire with time: a plan over many blocks takes milliseconds. */
const LOOK_AGAIN_MS = 10 * 60_000;
/**
 * A joined block has at most so many times the series of any of its days. Where series come and go, a query of one day would else
 * select those of all days.
 */
const JOIN_SERIES_MAX = 1.5;

export class LevelKeeper {
  private readonly options: LevelKeeperOptions;
  /** Blocks that nothing can be made of; they are tried again after a restart. */
  private readonly failed = new Set<string>();
  /** Blocks whose series are mostly not those of their neighbours: they stay apart. Found out anew after a restart. */
  private readonly unlike = new Set<string>();
  /** When nothing was to be done. */
  private idle: { readonly blocks: readonly BlockEntry[]; readonly untilMs: number } = { blocks: [], untilMs: 0 };

  constructor(options: LevelKeeperOptions) {
    this.options = options;
  }

  /** As run, but looks for steps only when blocks have changed, or now and then. */
  async runWhenDue(most: number, isClosing: () => boolean): Promise<number> {
    const { blocks, nowMs } = this.options;
    if (this.idle.blocks === blocks() && nowMs() < this.idle.untilMs) return 0;
    const made = await this.run(most, isClosing);
    // Fewer than could be made: there were no more, or blocks that can't be read.
    if (made === 0) this.idle = { blocks: blocks(), untilMs: nowMs() + LOOK_AGAIN_MS };
    return made;
  }

  /** Does up to `most` steps; returns how many blocks were made. Errors: those of the builder. */
  async run(most: number, isClosing: () => boolean): Promise<number> {
    const { blocks, nowMs, retentionMs, pause, room } = this.options;
    let made = 0;
    let left = most;
    // Shard by shard: a plan over all blocks would take too long in one piece.
    for (const shard of new Set(blocks().map((entry) => entry.shard))) {
      while (left > 0 && !isClosing()) {
        const steps = planLevels(this.live(new Set([shard])), nowMs(), retentionMs);
        const { freeBytes, spareBytes } = room();
        const step = steps.find((one) => {
          const fits = bytesOf(inputsOf(one)) <= (this.makesRoom(one) ? freeBytes : spareBytes);
          const isLeft = (file: string): boolean =>
            this.failed.has(file) || (one.kind === "join" && this.unlike.has(file));
          return fits && inputsOf(one).every(({ file }) => !isLeft(file));
        });
        if (step === undefined) break;
        made += await this.attempt(step);
        left--;
      }
      if (left <= 0 || isClosing()) break;
      await pause();
    }
    return made;
  }

  /** Whether samples that are past their retention wait for a step: it may use the reserve, because they go then. */
  private makesRoom(step: LevelStep): boolean {
    const { nowMs, retentionMs } = this.options;
    if (step.kind === "rest" || step.kind === "drop") return true;
    return step.kind !== "join" && step.dayMs + DAY_MS <= nowMs() - retentionMs.raw;
  }

  /** What has to be written anew of rows, at most, when these raw blocks are merged. */
  bytesBeside(raw: readonly BlockEntry[]): number {
    const ids = new Set(raw.map(({ id }) => id));
    const cut = this.live(new Set([raw[0]!.shard])).filter(({ parents, isRows }) => {
      return isRows && parents.some((id) => ids.has(id)) && !parents.every((id) => ids.has(id));
    });
    return bytesOf(cut.map(({ entry }) => entry));
  }

  /** Does a step; where blocks turn out to be unreadable it is left alone from now on. */
  private async attempt(step: LevelStep): Promise<number> {
    try {
      return await this.act(step);
    } catch (error) {
      if (this.options.isQuarantined(error)) return 0;
      if (!(error instanceof CorruptionError || error instanceof InvalidError)) throw error;
      for (const { file } of inputsOf(step)) this.failed.add(file);
      this.options.onProblem(`cannot make rows (${step.kind}): got ${errorText(error)}; want whole blocks`);
      return 0;
    }
  }

  /** Which of these blocks past their retention, and others of their shards, must not go yet. */
  held(expired: readonly BlockEntry[]): ReadonlySet<BlockEntry> {
    const { nowMs, retentionMs } = this.options;
    return heldByLevels(this.live(new Set(expired.map(({ shard }) => shard))), nowMs(), retentionMs);
  }

  /** What has to change along with the removal of raw blocks that others replace: rows that were made from them. */
  async withoutRowsOf(raw: readonly BlockEntry[]): Promise<{ add: BlockEntry[]; remove: BlockEntry[] }> {
    const ids = new Set(raw.map(({ id }) => id));
    const change: { add: BlockEntry[]; remove: BlockEntry[] } = { add: [], remove: [] };
    try {
      for (const { entry, parents, isRows } of this.live(new Set([raw[0]!.shard]))) {
        const gone = parents.filter((id) => ids.has(id));
        if (!isRows || gone.length === 0) continue;
        change.remove.push(entry);
        if (gone.length === parents.length) continue;
        const dayMs = Math.floor(raw[0]!.minMs / DAY_MS) * DAY_MS;
        change.add.push(await this.build(cutOf(dayMs, gone), [entry], entry));
      }
    } catch (error) {
      this.options.discard(change.add);
      throw error;
    }
    return change;
  }

  /** The live blocks of some shards. */
  private live(shards: ReadonlySet<number>): LevelBlock[] {
    const { stored } = this.options;
    return this.options.blocks().flatMap((entry) => {
      if (!shards.has(entry.shard)) return [];
      const block = stored.get(entry.file);
      return block === undefined ? [] : [levelBlockOf(block, entry)];
    });
  }

  private async act(step: LevelStep): Promise<number> {
    const { replaceBlocks, discard } = this.options;
    switch (step.kind) {
      case "drop":
        await replaceBlocks({ remove: step.blocks });
        return 0;
      case "rows": {
        const day = { minMs: step.dayMs, maxMs: step.dayMs + DAY_MS };
        await replaceBlocks({ add: [await this.build({ kind: "rows", level: step.level }, [step.source], day)] });
        return 1;
      }
      case "rest": {
        const { level, source, rows } = step;
        const entry = await this.build({ kind: "rest", level }, [source, ...rows], source);
        if (entry.series === 0) discard([entry]);
        await replaceBlocks({ add: entry.series === 0 ? [] : [entry], remove: [source] });
        return 1;
      }
      case "join": {
        const [first] = step.inputs as [BlockEntry];
        const range = { minMs: first.minMs, maxMs: Math.max(...step.inputs.map(({ maxMs }) => maxMs)) };
        const entry = await this.build({ kind: "join" }, step.inputs, range);
        if (entry.series > JOIN_SERIES_MAX * Math.max(...step.inputs.map(({ series }) => series))) {
          for (const { file } of step.inputs) this.unlike.add(file);
          discard([entry]);
          return 0;
        }
        await replaceBlocks({ add: [entry], remove: step.inputs });
        return 1;
      }
      case "cut": {
        const { block, dayMs, parents } = step;
        const entry = await this.build(cutOf(dayMs, parents), [block], block);
        if (entry.series === 0) discard([entry]);
        await replaceBlocks({ add: entry.series === 0 ? [] : [entry], remove: [block] });
        return 1;
      }
    }
  }

  /** Errors: those of the builder; CorruptionError when an input was found damaged, and is no longer in use, meanwhile. */
  private async build(
    derivation: Derivation,
    inputs: readonly BlockEntry[],
    range: Pick<BlockEntry, "minMs" | "maxMs">,
  ): Promise<BlockEntry> {
    const { builder, random, dataDir, stored } = this.options;
    const footers = inputs.map(({ file }) => stored.get(file)!.reader.footer);
    const options = derivedOptions(derivation, footers, random.bytes(16), range);
    const path = blockPath(dataDir, blockFileName(options));
    const paths = inputs.map(({ file }) => blockPath(dataDir, file));
    const isDue = (deletion: string): boolean => this.options.isDue(deletion);
    const tombstones = inputs.map(({ tombstones: all = [] }) => dueAndKept(all, isDue));
    const entry = entryOf(options, await builder.merge({ inputs: paths, path, options, derivation, tombstones }));
    const gone = inputs.findIndex(({ file }) => !stored.has(file));
    if (gone < 0) return entry;
    this.options.discard([entry]);
    throw new CorruptionError("cannot derive block: got an input that is damaged; want whole ones", paths[gone]!, 0);
  }
}

function inputsOf(step: LevelStep): readonly BlockEntry[] {
  switch (step.kind) {
    case "drop":
      return [];
    case "rows":
      return [step.source];
    case "rest":
      return [step.source, ...step.rows];
    case "join":
      return step.inputs;
    case "cut":
      return [step.block];
  }
}

function bytesOf(blocks: readonly BlockEntry[]): number {
  return blocks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function cutOf(dayMs: number, parents: readonly string[]): Derivation {
  return {
    kind: "cut",
    fromMs: dayMs,
    toMs: dayMs + DAY_MS,
    parents: parents.map((id) => new Uint8Array(Buffer.from(id, "hex"))),
  };
}
