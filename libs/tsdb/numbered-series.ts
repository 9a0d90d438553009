// libs/tsdb/numbered-series.ts: the series of blocks that were read ahead, numbered across these blocks, with one index of all of them: a query
// on such blocks alone neither asks each block's piece of the persistent index nor has to tell series apart.
import { KnownNumbers, SeriesTable, TablePostings } from "../index/index.ts";
import type { CompiledMatcher } from "../model/index.ts";
import { addInSteps } from "./add-series.ts";
import type { BlockMemory, Droppable } from "./block-memory.ts";
import type { Pace } from "./pace.ts";
import type { StoredPart, StoredSeries } from "./selection.ts";
import type { StoredBlock } from "./stored-block.ts";

export class NumberedSeries {
  private readonly memory: BlockMemory;
  private readonly tenants = new Map<string, TenantSeries>();

  constructor(memory: BlockMemory) {
    this.memory = memory;
  }

  /** Numbers a tenant's series of a block, a page at each step: found once they are published. Errors of its steps: CorruptionError. */
  *add(tenant: string, block: StoredBlock): Generator<void, void, void> {
    const range = block.reader.tenant(tenant);
    if (range === undefined) return;
    let own = this.tenants.get(tenant);
    if (own === undefined) {
      own = new TenantSeries(() => this.tenants.delete(tenant));
      this.tenants.set(tenant, own);
    }
    const places = Uint32Array.from({ length: range.count }, (_, i) => range.first + i);
    own.pending.set(block, yield* addInSteps(own.table, block, places));
    own.columnBytes += places.byteLength;
    // It may have been dropped meanwhile.
    if (this.tenants.get(tenant) === own) this.memory.used(own);
  }

  /** Indexes what was added, so that it is found, in steps. */
  *publish(): Generator<void, void, void> {
    for (const [tenant, own] of [...this.tenants]) {
      if (own.pending.size === 0) continue;
      own.postings = yield* TablePostings.of(own.table);
      for (const [block, numbers] of own.pending) own.numbers.set(block, numbers);
      own.pending.clear();
      if (this.tenants.get(tenant) === own) this.memory.used(own);
    }
  }

  /** A tenant's series of these blocks that satisfy all matchers; undefined unless all of the blocks are published. Errors: those of the pace. */
  async select(
    blocks: readonly StoredBlock[],
    tenant: string,
    matchers: readonly CompiledMatcher[],
    pace: Pace,
  ): Promise<StoredSeries | undefined> {
    const own = this.tenants.get(tenant);
    if (own?.postings === undefined) return undefined;
    const { numbers, postings, table } = own;
    const asked = blocks.filter((block) => block.reader.tenant(tenant) !== undefined);
    if (!asked.every((block) => numbers.has(block))) return undefined;
    this.memory.used(own);
    const selected = new Uint8Array(postings.size);
    for (const series of await pace.through(postings.select(matchers))) selected[series] = 1;
    const parts: StoredPart[] = [];
    for (const block of asked) {
      if (pace.isDue) await pace.rest();
      const part = partOf(selected, numbers.get(block)!, block.reader.tenant(tenant)!.first);
      if (part.places.length > 0) parts.push({ block, ...part });
    }
    return { table, parts, shared: own.live };
  }
}

/** Which of a block's series, by place from `first` on, are selected. */
function partOf(
  selected: Uint8Array,
  numbers: Uint32Array,
  first: number,
): { places: Uint32Array; series: Uint32Array } {
  let count = 0;
  for (let k = 0; k < numbers.length; k++) count += selected[numbers[k]!]!;
  const places = new Uint32Array(count);
  const series = new Uint32Array(count);
  for (let k = 0, i = 0; i < count; k++) {
    const one = numbers[k]!;
    if (selected[one] === 0) continue;
    places[i] = first + k;
    series[i++] = one;
  }
  return { places, series };
}

/** One tenant's. Series of blocks that are gone stay in the table until all of it is dropped. */
class TenantSeries implements Droppable {
  /** It may be dropped at any time: who uses it has it. */
  readonly isInUse = false;
  readonly table = new SeriesTable();
  /** Those that the catalogue has, too. */
  readonly live = new KnownNumbers();
  /** Of the series of all blocks below. */
  postings: TablePostings | undefined;
  /** By place from the tenant's first on: the series in the table. */
  readonly numbers = new WeakMap<StoredBlock, Uint32Array>();
  /** Those of blocks whose series the postings don't have yet. */
  readonly pending = new Map<StoredBlock, Uint32Array>();
  columnBytes = 0;
  private readonly onDrop: () => void;

  constructor(onDrop: () => void) {
    this.onDrop = onDrop;
  }

  get keptBytes(): number {
    return this.table.sizeBytes + this.live.sizeBytes + (this.postings?.sizeBytes ?? 0) + this.columnBytes;
  }

  drop(): void {
    this.onDrop();
  }
}
