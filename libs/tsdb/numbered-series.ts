// libs/tsdb/numbered-series.ts: the series of blocks that were read ahead, numbered across these blocks, so that a query which selects some
// of them has nothing to tell apart. It holds for queries on such blocks alone; others tell their series apart by labels.
import { SeriesTable } from "../index/index.ts";
import { addInSteps } from "./add-series.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { StoredSeries } from "./selection.ts";
import type { StoredBlock } from "./stored-block.ts";

/** What matchers select of a block: places, ascending, one at least. */
export interface SelectedPlaces {
  readonly block: StoredBlock;
  readonly places: Uint32Array;
}

export class NumberedSeries {
  private readonly memory: BlockMemory;
  private readonly tenants = new Map<string, TenantSeries>();

  constructor(memory: BlockMemory) {
    this.memory = memory;
  }

  /** Numbers a tenant's series of a block, a page at each step. Errors of its steps: CorruptionError. */
  *add(tenant: string, block: StoredBlock): Generator<void, void, void> {
    const range = block.reader.tenant(tenant);
    if (range === undefined) return;
    let own = this.tenants.get(tenant);
    if (own === undefined) {
      own = new TenantSeries(() => this.tenants.delete(tenant));
      this.tenants.set(tenant, own);
    }
    const places = Uint32Array.from({ length: range.count }, (_, i) => range.first + i);
    own.numbers.set(block, yield* addInSteps(own.table, block, places));
    own.columnBytes += places.byteLength;
    // It may have been dropped meanwhile.
    if (this.tenants.get(tenant) === own) this.memory.used(own);
  }

  /** The series at these places; undefined unless all of the blocks are numbered. */
  find(tenant: string, selected: readonly SelectedPlaces[]): StoredSeries | undefined {
    const own = this.tenants.get(tenant);
    if (own === undefined || !selected.every(({ block }) => own.numbers.has(block))) return undefined;
    this.memory.used(own);
    const parts = selected.map(({ block, places }) => {
      const { first } = block.reader.tenant(tenant)!;
      const numbers = own.numbers.get(block)!;
      const series = new Uint32Array(places.length);
      for (let k = 0; k < places.length; k++) series[k] = numbers[places[k]! - first]!;
      return { block, places, series };
    });
    return { table: own.table, parts, isShared: true };
  }
}

/** One tenant's. Series of blocks that are gone stay in the table until all of it is dropped. */
class TenantSeries implements Droppable {
  /** It may be dropped at any time: who uses it has it. */
  readonly isInUse = false;
  readonly table = new SeriesTable();
  /** By place from the tenant's first on: the series in the table. */
  readonly numbers = new WeakMap<StoredBlock, Uint32Array>();
  columnBytes = 0;
  private readonly onDrop: () => void;

  constructor(onDrop: () => void) {
    this.onDrop = onDrop;
  }

  get keptBytes(): number {
    return this.table.sizeBytes + this.columnBytes;
  }

  drop(): void {
    this.onDrop();
  }
}
