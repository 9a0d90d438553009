// libs/tsdb/selector.ts: finds the series of a query: in the catalogue, and by the persistent index in blocks, whose series are then told apart
// by their labels. What blocks gave lately is kept: they never change, so it holds as long as a query asks the same blocks.
import { type SeriesIndex, SeriesTable } from "../index/index.ts";
import { compileMatcher, type Matcher } from "../model/index.ts";
import { addInSteps, KnownPages } from "./add-series.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { SeriesCatalog } from "./catalog.ts";
import { NumberedSeries } from "./numbered-series.ts";
import type { Pace } from "./pace.ts";
import { JoinedSelection, LiveSelection, type Selection, type StoredPart, type StoredSeries } from "./selection.ts";
import type { StoredBlock } from "./stored-block.ts";

export class Selector {
  readonly catalog: SeriesCatalog;
  /** Series of blocks that were read ahead. */
  readonly numbered: NumberedSeries;
  private readonly memory: BlockMemory;
  /** By tenant and matchers: what different lists of blocks gave. */
  private readonly known = new Map<string, KnownSeries[]>();

  constructor(catalog: SeriesCatalog, memory: BlockMemory) {
    this.catalog = catalog;
    this.memory = memory;
    this.numbered = new NumberedSeries(memory);
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
    if (blocks.length === 0) return new LiveSelection(index, await selectLive(index, tenant, matchers, pace));
    const key = JSON.stringify([tenant, ...matchers.flatMap(({ type, name, value }) => [type, name, value])]);
    const found =
      this.find(key, blocks) ?? this.keep(key, blocks, await this.readStored(blocks, tenant, matchers, pace));
    const selection = found.joinedWith(this.catalog, await selectLive(index, tenant, matchers, pace));
    this.memory.used(found);
    return selection;
  }

  /** Asks the blocks. Errors: as those of select. */
  private async readStored(
    blocks: readonly StoredBlock[],
    tenant: string,
    matchers: readonly Matcher[],
    pace: Pace,
  ): Promise<StoredSeries> {
    const compiled = matchers.map(compileMatcher);
    const known = await this.numbered.select(blocks, tenant, compiled, pace);
    if (known !== undefined) return known;
    const selected: { readonly block: StoredBlock; readonly places: Uint32Array }[] = [];
    for (const block of blocks) {
      const places = await block.select(tenant, compiled, pace);
      if (pace.isDue) await pace.rest();
      if (places.length > 0) selected.push({ block, places });
    }
    const table = new SeriesTable();
    const parts: StoredPart[] = [];
    const pages = new KnownPages();
    for (const { block, places } of selected) {
      parts.push({ block, places, series: await pace.through(addInSteps(table, block, places, pages)) });
    }
    return { table, parts };
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

/** The tenant's series in the catalogue that satisfy all matchers: at once if they were found before. Errors: as those of Selector.select. */
export function selectLive(
  index: SeriesIndex,
  tenant: string,
  matchers: readonly Matcher[],
  pace: Pace,
): Uint32Array | Promise<Uint32Array> {
  return index.selected(tenant, matchers) ?? pace.through(index.selecting(tenant, matchers));
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
    const table = this.stored.shared !== undefined ? 0 : this.stored.table.sizeBytes;
    return table + parts + (this.joined?.sizeBytes ?? 0) + this.of.length * 8;
  }

  drop(): void {
    this.onDrop();
  }
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
