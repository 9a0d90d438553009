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
  entryOf,
  heldByLevels,
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
  readonly replaceBlocks: (change: RegistryChange) => void;
  /** Removes files that were built and are not needed. */
  readonly discard: (entries: readonly BlockEntry[]) => void;
  readonly onProblem: (problem: string) => void;
}

/** Days settle and blocks expire with time: a plan over many blocks takes milliseconds. */
const LOOK_AGAIN_MS = 10 * 60_000;

export class LevelKeeper {
  private readonly options: LevelKeeperOptions;
  /** Blocks that nothing can be made of; they are tried again after a restart. */
  private readonly failed = new Set<string>();
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
    let made = 0;
    for (let done = 0; done < most && !isClosing(); done++) {
      const steps = planLevels(this.live(), this.options.nowMs(), this.options.retentionMs);
      const step = steps.find((one) => inputsOf(one).every(({ file }) => !this.failed.has(file)));
      if (step === undefined) return made;
      try {
        made += await this.act(step);
      } catch (error) {
        if (!(error instanceof CorruptionError || error instanceof InvalidError)) throw error;
        for (const { file } of inputsOf(step)) this.failed.add(file);
        this.options.onProblem(`cannot make rows (${step.kind}): got ${errorText(error)}; want whole blocks`);
      }
    }
    return made;
  }

  /** Raw blocks that must not go yet, though they are past their retention. */
  held(): ReadonlySet<BlockEntry> {
    return heldByLevels(this.live(), this.options.nowMs(), this.options.retentionMs);
  }

  /** What has to change along with the removal of raw blocks that others replace: rows that were made from them. */
  async withoutRowsOf(raw: readonly BlockEntry[]): Promise<{ add: BlockEntry[]; remove: BlockEntry[] }> {
    const ids = new Set(raw.map(({ id }) => id));
    const change: { add: BlockEntry[]; remove: BlockEntry[] } = { add: [], remove: [] };
    for (const { entry, parents, isRows } of this.live()) {
      const gone = parents.filter((id) => ids.has(id));
      if (!isRows || gone.length === 0) continue;
      change.remove.push(entry);
      if (gone.length === parents.length) continue;
      const dayMs = Math.floor(raw[0]!.minMs / DAY_MS) * DAY_MS;
      change.add.push(await this.build(cutOf(dayMs, gone), [entry], entry));
    }
    return change;
  }

  private live() {
    const { stored } = this.options;
    return this.options.blocks().flatMap((entry) => {
      const block = stored.get(entry.file);
      return block === undefined ? [] : [levelBlockOf(block, entry)];
    });
  }

  private async act(step: LevelStep): Promise<number> {
    const { replaceBlocks, discard } = this.options;
    switch (step.kind) {
      case "drop":
        replaceBlocks({ remove: step.blocks });
        return 0;
      case "rows": {
        const day = { minMs: step.dayMs, maxMs: step.dayMs + DAY_MS };
        replaceBlocks({ add: [await this.build({ kind: "rows", level: step.level }, [step.source], day)] });
        return 1;
      }
      case "rest": {
        const { level, source, rows } = step;
        const entry = await this.build({ kind: "rest", level }, [source, ...rows], source);
        if (entry.series === 0) discard([entry]);
        replaceBlocks({ add: entry.series === 0 ? [] : [entry], remove: [source] });
        return 1;
      }
      case "join": {
        const [first] = step.inputs as [BlockEntry];
        const range = { minMs: first.minMs, maxMs: Math.max(...step.inputs.map(({ maxMs }) => maxMs)) };
        replaceBlocks({ add: [await this.build({ kind: "join" }, step.inputs, range)], remove: step.inputs });
        return 1;
      }
      case "cut": {
        const { block, dayMs, parents } = step;
        const entry = await this.build(cutOf(dayMs, parents), [block], block);
        if (entry.series === 0) discard([entry]);
        replaceBlocks({ add: entry.series === 0 ? [] : [entry], remove: [block] });
        return 1;
      }
    }
  }

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
    return entryOf(options, await builder.merge({ inputs: paths, path, options, derivation }));
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

function cutOf(dayMs: number, parents: readonly string[]): Derivation {
  return {
    kind: "cut",
    fromMs: dayMs,
    toMs: dayMs + DAY_MS,
    parents: parents.map((id) => new Uint8Array(Buffer.from(id, "hex"))),
  };
}
