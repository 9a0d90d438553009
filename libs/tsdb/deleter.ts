// libs/tsdb/deleter.ts: what is asked of deletions: to make one, to undo one, to list them. Each is done alone, between cuts and merges, and is
// durable before it is answered: its record is in the log; blocks are told in the registry, at once or with its next change.
import type { RegistryChange } from "../block/index.ts";
import { createHash128 } from "../kernel/index.ts";
import {
  type Deletable,
  type Deletion,
  type DeletionRequest,
  type Hash128,
  InvalidError,
  type PendingDeletion,
  type QueryContext,
  UnavailableError,
} from "../model/index.ts";
import { RECORD } from "../wal/index.ts";
import type { Cutter } from "./cutter.ts";
import { type DeletionRecord, deletionBytesMax, encodeDeletion } from "./deletion-record.ts";
import { addTombstone, type Deletions, dropTombstones, idBytes, idText } from "./deletions.ts";
import { LeafBlock } from "./leaf-blocks.ts";
import { Pace } from "./pace.ts";
import { CapturedSources } from "./sources.ts";
import type { DbState } from "./state.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Series of one deletion: its record takes 16 bytes for each, and heads are marked in one go. */
const DELETION_SERIES_MAX = 500_000;
const TIME_MAX = 2 ** 53;

/**
 * Looks at a deletion before it is made: these series, ascending, with a range of times. Throws InvalidError when it can't be done, as
 * where rows would be hidden in part and the samples that they were made of are gone.
 */
export type DeletionCheck = (series: Uint32Array, minMs: number, maxMs: number) => void;

export class Deleter implements Deletable {
  private readonly state: DbState;
  private readonly hash128: Hash128;
  private readonly known: Deletions;
  private readonly cutter: Cutter;
  private readonly checks: readonly DeletionCheck[];

  constructor(state: DbState, cutter: Cutter, checks: readonly DeletionCheck[] = []) {
    this.checks = checks;
    this.state = state;
    this.hash128 = createHash128(state.identity.hashSeed);
    this.known = state.deletions;
    this.cutter = cutter;
  }

  /** The deletions of a tenant that can be undone, oldest first. */
  async deletions(tenant: string): Promise<PendingDeletion[]> {
    const { known } = this;
    return known.entries
      .filter(({ tenant: owner, id }) => owner === tenant && !known.isDue(id) && this.hides(id))
      .map((one) => ({ ...one, undoUntilMs: one.madeMs + known.undoMs }))
      .sort((a, b) => a.madeMs - b.madeMs);
  }

  /**
   * Hides what there is now. Undefined when there is nothing to hide. Errors: InvalidError for too many series; UnavailableError (log full,
   * stopping); CorruptionError for a block that is damaged where it is looked at.
   */
  async deleteSeries(request: DeletionRequest): Promise<Deletion | undefined> {
    const { state } = this;
    const minMs = Math.max(request.minMs, -TIME_MAX);
    const maxMs = Math.min(request.maxMs, TIME_MAX);
    let made: Deletion | undefined;
    if (minMs > maxMs) return undefined;
    await this.cutter.exclusively(async () => {
      const pace = new Pace(state.clock, patience(request.tenant));
      const captured = new CapturedSources(state.sources, minMs, maxMs);
      try {
        const inBlocks = await this.findInBlocks(request, captured, pace);
        const record = this.execute(request, minMs, maxMs, inBlocks);
        if (record === undefined) return;
        made = record.deletion;
        state.stats.deletions++;
        await state.wal.durable(state.wal.position);
        this.tellRegistry();
      } finally {
        captured.release();
      }
    });
    return made;
  }

  /** Shows again what a deletion has hidden. Errors: InvalidError when there is none of this id, or when it is due; UnavailableError. */
  async undelete(tenant: string, id: string): Promise<Deletion> {
    const { state, known: deletions } = this;
    let undone: Deletion | undefined;
    await this.cutter.exclusively(async () => {
      const deletion = deletions.find(id);
      if (deletion === undefined || deletion.tenant !== tenant || deletions.isDue(id)) throw notUndoable(id);
      state.wal.admit(deletionBytesMax(deletion.selectors, 0));
      const record = { number: deletions.last + 1, undo: true, deletion, ids: new Uint8Array(0) };
      this.log(record);
      for (const head of state.windows.heads) head.unhide(id);
      for (const block of state.sources.blocks) dropTombstones(block, id);
      deletions.note(record);
      undone = deletion;
      state.stats.deletionsUndone++;
      await state.wal.durable(state.wal.position);
      this.tellRegistry();
    });
    return undone!;
  }

  private hides(id: string): boolean {
    const { windows, sources } = this.state;
    const inBlocks = sources.blocks.some(({ tombstones }) => tombstones.some(({ deletion }) => deletion === id));
    return inBlocks || windows.heads.some((head) => head.hides(id));
  }

  /** Applies all deletions for good. Errors: UnavailableError, InternalError. */
  async cleanTombstones(): Promise<void> {
    await this.cutter.cleanTombstones();
  }

  /** Series of the catalogue. */
  private select({ tenant, sets }: DeletionRequest): Uint32Array {
    const { index } = this.state.catalog;
    const found = new Set<number>();
    for (const set of sets) for (const series of index.select(tenant, set)) found.add(series);
    return Uint32Array.from(found).sort();
  }

  /** Where blocks have samples to be hidden: ascending places; and the ids of their series. Blocks stay what they are meanwhile. */
  private async findInBlocks(
    { tenant, sets }: DeletionRequest,
    captured: CapturedSources,
    pace: Pace,
  ): Promise<FoundInBlocks> {
    const { lowMs, highMs } = captured;
    const byBlock = new Map<StoredBlock, Set<number>>();
    const ids = new Set<string>();
    for (const set of sets) {
      const { blocks } = await this.state.selector.select(captured.blocks, tenant, set, pace);
      for (const { block, places } of blocks) {
        if (pace.isDue) await pace.rest();
        const within = new LeafBlock(block, lowMs, highMs);
        const { timeColumns } = await within.lookUp(places, pace);
        for (const [i, place] of places.entries()) {
          if (within.timesOf(timeColumns[i]!).times.length === 0) continue;
          const hits = byBlock.get(block) ?? new Set();
          byBlock.set(block, hits.add(place));
          ids.add(idText(this.hash128(block.reader.key(place))));
          if (pace.isDue) await pace.rest();
        }
      }
    }
    const ascending = (hits: Set<number>): Uint32Array => Uint32Array.from(hits).sort();
    return { places: new Map([...byBlock].map(([block, hits]) => [block, ascending(hits)])), ids };
  }

  /** In one go: what is written before and after is told apart by the place of the record in the log. */
  private execute(
    request: DeletionRequest,
    minMs: number,
    maxMs: number,
    inBlocks: FoundInBlocks,
  ): DeletionRecord | undefined {
    const { state, known: deletions } = this;
    const { id, tenant, selectors } = request;
    const selected = this.select(request);
    const idOf = (series: number): string => {
      const bytes = new Uint8Array(16);
      state.catalog.copyId(series, new DataView(bytes.buffer), 0);
      return idText(bytes);
    };
    const all = new Set(inBlocks.ids);
    for (const series of selected) all.add(idOf(series));
    if (all.size > DELETION_SERIES_MAX) {
      throw new InvalidError(
        `cannot delete series: got ${all.size} series; want at most ${DELETION_SERIES_MAX} at once`,
      );
    }
    for (const check of this.checks) check(selected, minMs, maxMs);
    state.wal.admit(deletionBytesMax(selectors, all.size));
    const hit = new Set(inBlocks.ids);
    for (const head of state.windows.heads) {
      for (const series of selected) if (head.hide(series, id, minMs, maxMs)) hit.add(idOf(series));
    }
    if (hit.size === 0) return undefined;
    const madeMs = state.clock.nowMs();
    const deletion: Deletion = { id, tenant, selectors, minMs, maxMs, madeMs, series: hit.size };
    const record = { number: deletions.last + 1, undo: false, deletion, ids: idBytes(hit) };
    this.log(record);
    for (const [block, places] of inBlocks.places) addTombstone(block, deletion, places);
    deletions.note(record);
    return record;
  }

  private log(record: DeletionRecord): void {
    for (const body of encodeDeletion(record)) this.state.wal.append(RECORD.deletion, body);
  }

  /** The log has it: what the registry can't say now, for want of room, it says with its next change, or a replay does. */
  private tellRegistry(): void {
    try {
      this.cutter.replaceBlocks(NO_CHANGE);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      this.cutter.onProblem(error.message);
    }
  }
}

interface FoundInBlocks {
  readonly places: ReadonlyMap<StoredBlock, Uint32Array>;
  /** As texts. */
  readonly ids: ReadonlySet<string>;
}

const NO_CHANGE: RegistryChange = {};

function patience(tenant: string): QueryContext {
  const forever = { deadlineMs: Number.POSITIVE_INFINITY, samplesMax: Number.POSITIVE_INFINITY };
  return { tenant, signal: new AbortController().signal, ...forever };
}

function notUndoable(id: string): InvalidError {
  return new InvalidError(
    `cannot undo deletion: got ${JSON.stringify(id.slice(0, 80))}; want the id of one that is listed and not past --delete-undo`,
  );
}
