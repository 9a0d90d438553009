// libs/tsdb/selector.ts: finds the series of a query: in the catalogue, and by the persistent index in blocks, whose series are then told apart
// by their labels. What blocks gave lately is kept: they never change, so it holds as long as a query asks the same blocks.
import { pageOf } from "../block/index.ts";
import { SeriesTable } from "../index/index.ts";
import { compileMatcher, type Matcher } from "../model/index.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Pace } from "./pace.ts";
import { JoinedSelection, LiveSelection, type Selection, type StoredPart, type StoredSeries } from "./selection.ts";
import type { StoredBlock } from "./stored-block.ts";

export class Selector {
  readonly catalog: SeriesCatalog;
  private readonly memory: BlockMemory;
  /** By tenant and matchers: what different lists of blocks gave. */
  private readonly known = new Map<string, KnownSeries[]>();

  constructor(catalog: SeriesCatalog, memory: BlockMemory) {
    this.catalog = catalog;
    this.memory = memory;
  }

  /**
   * The tenant's series in the catalogue and in these blocks that satisfy all matchers. Errors: InvalidError for a bad regex,
   * CorruptionError; those of the pace.
   */
  async select(
    blocks: readonly StoredBlock[],
    tenant: string,
    matchers: readonly Matcher[],
    pace: Pace,
  ): Promise<Selection> {
    const { index } = this.catalog;
    if (blocks.length === 0) return new LiveSelection(index, index.select(tenant, matchers));
    const key = JSON.stringify([tenant, ...matchers.flatMap(({ type, name, value }) => [type, name, value])]);
    const found = this.find(key, blocks) ?? this.keep(key, blocks, await readStored(blocks, tenant, matchers, pace));
    const selection = found.joinedWith(this.catalog, index.select(tenant, matchers));
    this.memory.used(found);
    return selection;
  }

  private find(key: string, blocks: readonly StoredBlock[]): KnownSeries | undefined {
    return this.known.get(key)?.find((one) => one.isOf(blocks));
  }

  private keep(key: string, blocks: readonly StoredBlock[], stored: StoredSeries): KnownSeries {
    const made: KnownSeries = new KnownSeries(blocks, stored, () => {
      const others = this.known.get(key)?.filter((one) => one !== made) ?? [];
      if (others.length > 0) this.known.set(key, others);
      else this.known.delete(key);
    });
    this.known.set(key, [...(this.known.get(key) ?? []), made]);
    return made;
  }
}

/** What some blocks gave for some matchers, and how it was last joined with the catalogue. */
class KnownSeries implements Droppable {
  /** It may be dropped at any time: who uses it has it. */
  readonly isInUse = false;
  private readonly of: readonly StoredBlock[];
  private readonly stored: StoredSeries;
  private readonly onDrop: () => void;
  private joined: JoinedSelection | undefined;
  private live: Uint32Array | undefined;

  constructor(blocks: readonly StoredBlock[], stored: StoredSeries, onDrop: () => void) {
    this.of = blocks;
    this.stored = stored;
    this.onDrop = onDrop;
  }

  isOf(blocks: readonly StoredBlock[]): boolean {
    return blocks.length === this.of.length && blocks.every((block, i) => block === this.of[i]);
  }

  joinedWith(catalog: SeriesCatalog, live: Uint32Array): JoinedSelection {
    if (this.joined === undefined || this.live !== live) {
      this.joined = new JoinedSelection(catalog.index, live, this.stored);
      this.live = live;
    }
    return this.joined;
  }

  get keptBytes(): number {
    const parts = this.stored.parts.reduce((sum, { series }) => sum + series.byteLength, 0);
    return this.stored.table.sizeBytes + parts + (this.joined?.sizeBytes ?? 0) + this.of.length * 8;
  }

  drop(): void {
    this.onDrop();
  }
}

/** Asks the blocks. Errors: as those of select. */
async function readStored(
  blocks: readonly StoredBlock[],
  tenant: string,
  matchers: readonly Matcher[],
  pace: Pace,
): Promise<StoredSeries> {
  const compiled = matchers.map(compileMatcher);
  const table = new SeriesTable();
  const parts: StoredPart[] = [];
  for (const block of blocks) {
    const places = await block.select(tenant, compiled, pace);
    for (const steps = addInSteps(table, block, places); ; ) {
      if (pace.isDue) await pace.rest();
      const { done, value } = steps.next();
      if (done !== true) continue;
      if (places.length > 0) parts.push({ block, places, series: value });
      break;
    }
  }
  return { table, parts };
}

/** The catalogue's and the blocks' series that satisfy all matchers, by reading all labels of the blocks, in one piece. Errors: as those of select. */
export function scanSeries(
  catalog: SeriesCatalog,
  blocks: readonly StoredBlock[],
  tenant: string,
  matchers: readonly Matcher[],
): Selection {
  const compiled = matchers.map(compileMatcher);
  const table = new SeriesTable();
  const parts: StoredPart[] = [];
  for (const block of blocks) {
    const places = block.scan(tenant, compiled);
    const steps = addInSteps(table, block, places);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    if (places.length > 0) parts.push({ block, places, series: step.value });
  }
  return new JoinedSelection(catalog.index, catalog.index.select(tenant, matchers), { table, parts });
}

/** Adds the series at ascending places of a block to the table, a page at each step: only pages with some of them are read. */
function* addInSteps(table: SeriesTable, block: StoredBlock, places: Uint32Array): Generator<void, Uint32Array> {
  const { reader } = block;
  const { seriesPages } = reader.footer;
  const series = new Uint32Array(places.length);
  let pairs = new Uint32Array(64);
  for (let at = 0; at < places.length; ) {
    const page = pageOf(seriesPages, places[at]!);
    const { first, count } = seriesPages[page]!;
    let end = at + 1;
    while (end < places.length && places[end]! < first + count) end++;
    const rows = reader.rowsOfPage(
      page,
      places.subarray(at, end).map((place) => place - first),
    );
    const numbers = new Int32Array(rows.names.length).fill(-1);
    for (let i = 0; at < end; at++, i++) {
      const start = rows.starts[i]!;
      const length = rows.starts[i + 1]! - start;
      if (length > pairs.length) pairs = new Uint32Array(length * 2);
      for (let k = 0; k < length; k++) {
        const own = rows.pairs[start + k]!;
        if (numbers[own]! < 0) numbers[own] = table.pairOf(rows.names[own]!, rows.values[own]!);
        pairs[k] = numbers[own]!;
      }
      series[at] = table.add(pairs, length);
    }
    yield;
  }
  return series;
}
