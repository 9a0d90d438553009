// libs/tsdb/deleter.ts: what is asked of deletions: to make one, to undo one, to list them. Each is done alone, between cuts and merges, and is
// durable before it is answered: its record is in the log; blocks are told in the registry, at once or with its next change.
import type { RegistryChange } from "../block/index.ts";
import { createHash128 } from "../kernel/index.ts";
import {
  type CompiledMatcher,
  compileMatcher,
  type Deletable,
  type Deletion,
  type DeletionRequest,
  decodeSeriesKey,
  type Hash128,
  InvalidError,
  matchLabels,
  type PendingDeletion,
  type QueryContext,
  UnavailableError,
} from "../model/index.ts";
import { RECORD } from "../wal/index.ts";
import type { Cutter } from "./cutter.ts";
import { type DeletionRecord, deletionBytesMax, encodeDeletion } from "./deletion-record.ts";
import { addTombstone, type Deletions, dropTombstones, hideRows, idBytes, idText } from "./deletions.ts";
import { checkCut, coarsest, HiddenRows } from "./hidden-rows.ts";
import { LeafBlock, LeafReach } from "./leaf-blocks.ts";
import { Pace } from "./pace.ts";
import { CapturedSources } from "./sources.ts";
import type { DbState } from "./state.ts";
import type { StoredBlock } from "./stored-block.ts";
import type { StoredSide } from "./stored-side.ts";

/** Series of one deletion: its record takes 16 bytes for each, and heads are marked in one go. */
const DELETION_SERIES_MAX = 500_000;
const TIME_MAX = 2 ** 53;

export class Deleter implements Deletable {
  private readonly state: DbState;
  private readonly hash128: Hash128;
  private readonly known: Deletions;
  private readonly cutter: Cutter;

  constructor(state: DbState, cutter: Cutter) {
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
   * Hides what there is now. Undefined when there is nothing to hide. Errors: InvalidError for too many series, and for a range that has a part
   * of rows that are all there is; UnavailableError (log full,
   * stopping); CorruptionError for a block that is damaged where it is looked at.
   */
  async deleteSeries(request: DeletionRequest): Promise<Deletion | undefined> {
    const { state } = this;
    const minMs = Math.max(request.minMs, -TIME_MAX);
    const maxMs = Math.min(request.maxMs, TIME_MAX);
    let made: Deletion | undefined;
    if (minMs > maxMs) return undefined;
    await this.cutter.exclusively(async () => {
      const found = await this.find(request, minMs, maxMs);
      const record = this.execute(request, minMs, maxMs, found);
      if (record === undefined) return;
      made = record.deletion;
      state.stats.deletions++;
      await state.wal.durable(state.wal.position);
      await this.tellRegistry();
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
      state.side.windows.unhide(id);
      for (const one of [...state.sources.blocks, ...state.side.files]) dropTombstones(one, id);
      deletions.note(record);
      undone = deletion;
      state.stats.deletionsUndone++;
      await state.wal.durable(state.wal.position);
      await this.tellRegistry();
    });
    return undone!;
  }

  private hides(id: string): boolean {
    const { windows, sources, side } = this.state;
    const inBlocks = sources.blocks.some(({ tombstones }) => tombstones.some(({ deletion }) => deletion === id));
    return inBlocks || side.hides(id) || windows.heads.some((head) => head.hides(id));
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

  /** What is to be hidden of blocks and files. Errors: as those of deleteSeries. */
  private async find(request: DeletionRequest, minMs: number, maxMs: number): Promise<Found> {
    const pace = new Pace(this.state.clock, patience(request.tenant));
    const captured = new CapturedSources(this.state.sources, minMs, maxMs);
    try {
      const { places, ids } = await this.findInBlocks(request, captured, pace);
      const side = await this.findInSide(request, minMs, maxMs, ids, pace);
      const rows = await this.findInRows(request, captured, ids, pace);
      checkCut(coarsest([...rows.values()].map(({ cut }) => cut)), minMs, maxMs);
      return { ids, places, side, rows };
    } finally {
      captured.release();
    }
  }

  /** Where blocks have samples to be hidden: ascending places; and the ids of their series. Blocks stay what they are meanwhile. */
  private async findInBlocks(
    { tenant, sets }: DeletionRequest,
    captured: CapturedSources,
    pace: Pace,
  ): Promise<{ places: Found["places"]; ids: Set<string> }> {
    const { lowMs, highMs } = captured;
    const byBlock = new Map<StoredBlock, Set<number>>();
    const ids = new Set<string>();
    for (const set of sets) {
      const { blocks } = await this.state.selector.select(captured.blocks, tenant, set, pace);
      for (const { block, places } of blocks) {
        if (pace.isDue) await pace.rest();
        const within = new LeafBlock(block, new LeafReach(lowMs, highMs));
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

  /** Which rows are to be hidden. Adds the ids of their series. */
  private async findInRows(
    { tenant, sets }: DeletionRequest,
    captured: CapturedSources,
    ids: Set<string>,
    pace: Pace,
  ): Promise<ReadonlyMap<StoredBlock, HiddenRows>> {
    const { lowMs, highMs } = captured;
    const places = new Map<StoredBlock, Set<number>>();
    for (const set of sets) {
      const { blocks } = await this.state.selector.select(captured.rows, tenant, set, pace);
      for (const part of blocks) {
        const known = places.get(part.block) ?? new Set();
        for (const place of part.places) known.add(place);
        places.set(part.block, known);
      }
    }
    const found = new Map<StoredBlock, HiddenRows>();
    for (const [block, some] of places) {
      const rows = new HiddenRows(block, captured.daysOf(block).alone, { minMs: lowMs, maxMs: highMs });
      for (const place of Uint32Array.from(some).sort()) {
        if (pace.isDue) await pace.rest();
        if (rows.add(place)) ids.add(idText(this.hash128(block.reader.key(place))));
      }
      found.set(block, rows);
    }
    return found;
  }

  /** Where files of side data have something to be hidden: ascending places. Adds the ids of these series. */
  private async findInSide(
    { tenant, sets }: DeletionRequest,
    minMs: number,
    maxMs: number,
    ids: Set<string>,
    pace: Pace,
  ): Promise<ReadonlyMap<StoredSide, number[]>> {
    const compiled = sets.map((set) => set.map(compileMatcher));
    const found = new Map<StoredSide, number[]>();
    for (const file of this.state.side.files) {
      if (!file.overlapsAny(minMs, maxMs)) continue;
      const places: number[] = [];
      for (const entry of file.reader.directory()) {
        if (pace.isDue) await pace.rest();
        if (!isSelected(entry.key, tenant, compiled) || !file.hasIn(entry, minMs, maxMs)) continue;
        places.push(entry.place);
        ids.add(idText(this.hash128(entry.key)));
      }
      found.set(file, places);
    }
    return found;
  }

  /** In one go: what is written before and after is told apart by the place of the record in the log, and no query sees a part of it. */
  private execute(request: DeletionRequest, minMs: number, maxMs: number, found: Found): DeletionRecord | undefined {
    const { state, known: deletions } = this;
    const { id, tenant, selectors } = request;
    const selected = this.select(request);
    const idOf = (series: number): string => {
      const bytes = new Uint8Array(16);
      state.catalog.copyId(series, new DataView(bytes.buffer), 0);
      return idText(bytes);
    };
    const all = new Set(found.ids);
    for (const series of selected) all.add(idOf(series));
    if (all.size > DELETION_SERIES_MAX) {
      throw new InvalidError(
        `cannot delete series: got ${all.size} series; want at most ${DELETION_SERIES_MAX} at once`,
      );
    }
    state.wal.admit(deletionBytesMax(selectors, all.size));
    const hit = new Set(found.ids);
    for (const head of state.windows.heads) {
      for (const series of selected) if (head.hide(series, id, minMs, maxMs)) hit.add(idOf(series));
    }
    for (const series of selected) {
      if (state.side.windows.hide(series, { deletion: id, minMs, maxMs })) hit.add(idOf(series));
    }
    if (hit.size === 0) return undefined;
    const madeMs = state.clock.nowMs();
    const deletion: Deletion = { id, tenant, selectors, minMs, maxMs, madeMs, series: hit.size };
    const record = { number: deletions.last + 1, undo: false, deletion, ids: idBytes(hit) };
    this.log(record);
    for (const [block, places] of [...found.places, ...found.side]) addTombstone(block, deletion, places);
    for (const [block, rows] of found.rows) hideRows(block, rows, id);
    deletions.note(record);
    return record;
  }

  private log(record: DeletionRecord): void {
    for (const body of encodeDeletion(record)) this.state.wal.append(RECORD.deletion, body);
  }

  /** The log has it: what the registry can't say now, for want of room, it says with its next change, or a replay does. */
  private async tellRegistry(): Promise<void> {
    try {
      await this.cutter.replaceBlocks(NO_CHANGE);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      this.cutter.onProblem(error.message);
    }
  }
}

/** What a deletion is to hide beside heads and stores. */
interface Found {
  /** The ids of its series, as texts. */
  readonly ids: ReadonlySet<string>;
  readonly places: ReadonlyMap<StoredBlock, Uint32Array>;
  readonly side: ReadonlyMap<StoredSide, readonly number[]>;
  readonly rows: ReadonlyMap<StoredBlock, HiddenRows>;
}

/** Whether any set of matchers selects the series with a key. */
function isSelected(key: Uint8Array, tenant: string, sets: readonly (readonly CompiledMatcher[])[]): boolean {
  const { tenant: owner, labels } = decodeSeriesKey(key);
  return owner === tenant && sets.some((set) => matchLabels(set, labels));
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
