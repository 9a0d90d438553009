// libs/index/series-index.ts: the inverted index of the head: labels ↔ series, per tenant, in memory.
// A label pair (tenant, name, value) has a number; a series is the list of its pairs' numbers in an arena of u32, a
// posting list says which series carry a pair. Strings exist once per distinct pair, objects never per series.
import {
  type CompiledMatcher,
  compareUtf8,
  compileMatcher,
  type Labels,
  LimitError,
  type Matcher,
} from "../model/index.ts";
import { type Bitmap, createBitmap } from "./bitmap.ts";
import { PostingTable } from "./postings.ts";
import { SelectionCache, type SeriesGroups, selectionKey } from "./selection-cache.ts";

/** One label name of one tenant: its values and, for each, the number of the pair. */
interface NameEntry {
  readonly name: string;
  readonly values: Map<string, number>;
  sorted: string[] | undefined;
}

interface TenantEntry {
  readonly number: number;
  readonly names: Map<string, NameEntry>;
  /** Posting list of all the tenant's series. */
  readonly all: number;
  sortedNames: string[] | undefined;
}

const PAIRS_CHUNK = 1 << 16;
/** Their numbers have 16 bits. */
const TENANTS_MAX = 65_536;

/** Label sets of series, found by matchers. Series numbers ascend as they are added. */
export class SeriesIndex {
  private readonly tenants = new Map<string, TenantEntry>();
  private readonly postings = new PostingTable();
  /** By pair number. */
  private readonly pairNames: NameEntry[] = [];
  private readonly pairValues: string[] = [];
  /** By series: where its pairs begin in the arena, and how many they are. */
  private starts = new Uint32Array(1024);
  private lengths = new Uint16Array(1024);
  /** By series: the tenant's place in tenantList. */
  private owners = new Uint16Array(1024);
  private readonly tenantList: string[] = [];
  private arena = new Uint32Array(PAIRS_CHUNK);
  private arenaUsed = 0;
  private seriesCount = 0;
  private readonly selections = new SelectionCache();

  get size(): number {
    return this.seriesCount;
  }

  get pairCount(): number {
    return this.pairValues.length;
  }

  /** Bytes in typed arrays; strings and maps of the distinct pairs come on top. */
  get sizeBytes(): number {
    const columns = this.starts.byteLength + this.lengths.byteLength + this.owners.byteLength;
    return this.postings.sizeBytes + columns + this.arena.byteLength + this.selections.sizeBytes;
  }

  tenantNames(): readonly string[] {
    return this.tenantList;
  }

  /** The tenant that a series belongs to. */
  tenantOf(series: number): string {
    return this.tenantList[this.owners[series]!]!;
  }

  /** Adds series number `series` (greater than every number before it) with its labels. */
  add(tenant: string, series: number, labels: Labels): void {
    const owner = this.tenantEntry(tenant);
    const count = labels.length / 2;
    this.reserve(series, count);
    this.starts[series] = this.arenaUsed;
    this.lengths[series] = count;
    this.owners[series] = owner.number;
    for (let i = 0; i < labels.length; i += 2) {
      const pair = this.pairNumber(owner, labels[i]!, labels[i + 1]!);
      this.arena[this.arenaUsed++] = pair;
      this.postings.add(pair, series);
    }
    this.postings.add(owner.all, series);
    this.seriesCount++;
  }

  /** The labels of a series, sorted by name. */
  labelsOf(series: number): Labels {
    const start = this.starts[series]!;
    const count = this.lengths[series]!;
    const out: string[] = new Array(count * 2);
    for (let i = 0; i < count; i++) {
      const pair = this.arena[start + i]!;
      out[2 * i] = this.pairNames[pair]!.name;
      out[2 * i + 1] = this.pairValues[pair]!;
    }
    return out;
  }

  /** Whether `labels` are exactly those of a series; allocates nothing. */
  hasLabels(series: number, labels: Labels): boolean {
    const start = this.starts[series]!;
    const count = this.lengths[series]!;
    if (count * 2 !== labels.length) return false;
    for (let i = 0; i < count; i++) {
      const pair = this.arena[start + i]!;
      if (this.pairNames[pair]!.name !== labels[2 * i] || this.pairValues[pair] !== labels[2 * i + 1]) return false;
    }
    return true;
  }

  /**
   * Divides series: two are in one group exactly when their labels agree after keeping (`without` false) or dropping
   * (`without` true) `names`. The cheap way to group many series: labels are built per group, never per series. The
   * result may be shared: it must not be written to.
   */
  groupKeys(series: Uint32Array, names: readonly string[], without: boolean): SeriesGroups {
    const key = JSON.stringify([without, ...names]);
    return this.selections.grouping(series, key, () => this.divide(series, names, without));
  }

  private divide(series: Uint32Array, names: readonly string[], without: boolean): SeriesGroups {
    const groupOf = new Uint32Array(series.length);
    if (names.length === 0 && !without) return { groupOf, labels: series.length === 0 ? [] : [[]] };
    const wanted = new Set(names);
    const labels: Labels[] = [];
    // Groups are found by walking a trie of pair numbers: Map per node only where groups really differ.
    const root: GroupNode = { next: new Map(), group: -1 };
    // By pair number: what is known about its name. A look-up by name for each label of each series would cost more.
    const fates = new Uint8Array(this.pairValues.length);
    const { arena } = this;
    for (let s = 0; s < series.length; s++) {
      const start = this.starts[series[s]!]!;
      const end = start + this.lengths[series[s]!]!;
      let node = root;
      for (let i = start; i < end; i++) {
        const pair = arena[i]!;
        let fate = fates[pair]!;
        if (fate === 0) {
          fate = wanted.has(this.pairNames[pair]!.name) !== without ? KEPT : LEFT_OUT;
          fates[pair] = fate;
        }
        if (fate === LEFT_OUT) continue;
        let child = node.next.get(pair);
        if (child === undefined) {
          child = { next: new Map(), group: -1 };
          node.next.set(pair, child);
        }
        node = child;
      }
      if (node.group < 0) {
        node.group = labels.length;
        labels.push(this.restrictedLabels(series[s]!, wanted, without));
      }
      groupOf[s] = node.group;
    }
    return { groupOf, labels };
  }

  /**
   * The tenant's series that satisfy all matchers, ascending. The array may be shared: it must not be written to.
   * Errors: InvalidError for a bad regex.
   */
  select(tenant: string, matchers: readonly Matcher[]): Uint32Array {
    const owner = this.tenants.get(tenant);
    if (owner === undefined) return new Uint32Array(0);
    const key = selectionKey(tenant, matchers);
    const version = this.postings.size(owner.all);
    const known = this.selections.find(key, version);
    if (known !== undefined) return known;
    const found = this.search(owner, matchers);
    this.selections.keep(key, version, found);
    return found;
  }

  private search(owner: TenantEntry, matchers: readonly Matcher[]): Uint32Array {
    const compiled = matchers.map(compileMatcher);
    const positive = compiled.filter((m) => !m.matchesEmpty);
    const negative = compiled.filter((m) => m.matchesEmpty);
    // Fewest pairs first is a fair guess at fewest series first, and it costs nothing to find out.
    const lists = positive.map((m) => this.pairsOf(owner, m, (value) => m.matches(value)));
    lists.sort((a, b) => this.postingsOf(a) - this.postingsOf(b));
    let result: Bitmap | undefined;
    try {
      for (const pairs of lists) {
        if (pairs.length === 0) return new Uint32Array(0);
        if (result !== undefined && pairs.length === 1) {
          this.postings.andInto(result, pairs[0]!);
          continue;
        }
        const union = this.union(pairs);
        if (result === undefined) result = union;
        else {
          result.andInPlace(union);
          union.dispose();
        }
      }
      result ??= this.postings.toBitmap(owner.all);
      for (const m of negative) {
        const refused = this.pairsOf(owner, m, (value) => !m.matches(value));
        if (refused.length === 0) continue;
        const union = this.union(refused);
        result.andNotInPlace(union);
        union.dispose();
      }
      return result.toUint32Array();
    } finally {
      result?.dispose();
    }
  }

  /** Sorted label names of all the tenant's series, or of the given ones. */
  labelNames(tenant: string, series?: Uint32Array): string[] {
    const owner = this.tenants.get(tenant);
    if (owner === undefined) return [];
    if (series === undefined) {
      owner.sortedNames ??= [...owner.names.keys()].sort(compareUtf8);
      return owner.sortedNames;
    }
    const found = new Set<string>();
    for (const one of series) {
      const start = this.starts[one]!;
      for (let i = 0; i < this.lengths[one]!; i++) found.add(this.pairNames[this.arena[start + i]!]!.name);
    }
    return [...found].sort(compareUtf8);
  }

  /** Sorted values of a label over all the tenant's series, or over the given ones. */
  labelValues(tenant: string, name: string, series?: Uint32Array): string[] {
    const entry = this.tenants.get(tenant)?.names.get(name);
    if (entry === undefined) return [];
    if (series === undefined) {
      entry.sorted ??= [...entry.values.keys()].sort(compareUtf8);
      return entry.sorted;
    }
    const found = new Set<string>();
    for (const one of series) {
      const start = this.starts[one]!;
      for (let i = 0; i < this.lengths[one]!; i++) {
        const pair = this.arena[start + i]!;
        if (this.pairNames[pair] === entry) found.add(this.pairValues[pair]!);
      }
    }
    return [...found].sort(compareUtf8);
  }

  /** How many series a tenant has. */
  seriesCountOf(tenant: string): number {
    const owner = this.tenants.get(tenant);
    return owner === undefined ? 0 : this.postings.size(owner.all);
  }

  /** The values of a label, each with how many series carry it. Those that come while it is walked may be among them. */
  *pairsOfName(tenant: string, name: string): Generator<{ readonly value: string; readonly seriesCount: number }> {
    const entry = this.tenants.get(tenant)?.names.get(name);
    if (entry === undefined) return;
    for (const [value, pair] of entry.values) yield { value, seriesCount: this.postings.size(pair) };
  }

  dispose(): void {
    this.postings.dispose();
  }

  /** Pair numbers of a matcher's label whose value passes `accepts`. Finite sets of values are looked up, not scanned. */
  private pairsOf(owner: TenantEntry, m: CompiledMatcher, accepts: (value: string) => boolean): number[] {
    const entry = owner.names.get(m.name);
    const out: number[] = [];
    if (entry === undefined) return out;
    const finite = m.values !== undefined && accepts(m.values[0]!);
    if (finite) {
      for (const value of m.values!) {
        const pair = entry.values.get(value);
        if (pair !== undefined) out.push(pair);
      }
      return out;
    }
    for (const [value, pair] of entry.values) if (accepts(value)) out.push(pair);
    return out;
  }

  private postingsOf(pairs: readonly number[]): number {
    let n = 0;
    for (const pair of pairs) n += this.postings.size(pair);
    return n;
  }

  private union(pairs: readonly number[]): Bitmap {
    if (pairs.length === 1) return this.postings.toBitmap(pairs[0]!);
    const out = createBitmap();
    for (const pair of pairs) this.postings.orInto(out, pair);
    return out;
  }

  private restrictedLabels(series: number, names: ReadonlySet<string>, without: boolean): Labels {
    const all = this.labelsOf(series);
    const out: string[] = [];
    for (let i = 0; i < all.length; i += 2) if (names.has(all[i]!) !== without) out.push(all[i]!, all[i + 1]!);
    return out;
  }

  /** Whether a series of this tenant can be added; a tenant too many can't. */
  hasRoomFor(tenant: string): boolean {
    return !this.isFullOfTenants || this.tenants.has(tenant);
  }

  get isFullOfTenants(): boolean {
    return this.tenantList.length === TENANTS_MAX;
  }

  get tenantCount(): number {
    return this.tenantList.length;
  }

  private tenantEntry(tenant: string): TenantEntry {
    let owner = this.tenants.get(tenant);
    if (owner === undefined) {
      if (this.tenantList.length === TENANTS_MAX) {
        throw new LimitError(
          "tenants",
          `cannot add tenant ${tenant}: got ${TENANTS_MAX + 1}; want at most ${TENANTS_MAX}`,
        );
      }
      // The list of all series is a pair without a name: it is numbered like one and found by no matcher.
      const all = this.pairValues.length;
      this.pairValues.push("");
      this.pairNames.push({ name: "", values: new Map(), sorted: undefined });
      owner = { number: this.tenantList.length, names: new Map(), all, sortedNames: undefined };
      this.tenantList.push(tenant);
      this.tenants.set(tenant, owner);
    }
    return owner;
  }

  private pairNumber(owner: TenantEntry, name: string, value: string): number {
    let entry = owner.names.get(name);
    if (entry === undefined) {
      entry = { name, values: new Map(), sorted: undefined };
      owner.names.set(name, entry);
      owner.sortedNames = undefined;
    }
    let pair = entry.values.get(value);
    if (pair === undefined) {
      pair = this.pairValues.length;
      this.pairValues.push(value);
      this.pairNames.push(entry);
      entry.values.set(value, pair);
      entry.sorted = undefined;
    }
    return pair;
  }

  private reserve(series: number, count: number): void {
    if (series >= this.starts.length) {
      const capacity = Math.max(this.starts.length * 2, series + 1);
      const starts = new Uint32Array(capacity);
      starts.set(this.starts);
      this.starts = starts;
      const lengths = new Uint16Array(capacity);
      lengths.set(this.lengths);
      this.lengths = lengths;
      const owners = new Uint16Array(capacity);
      owners.set(this.owners);
      this.owners = owners;
    }
    if (this.arenaUsed + count > this.arena.length) {
      const arena = new Uint32Array(Math.max(this.arena.length * 2, this.arenaUsed + count));
      arena.set(this.arena);
      this.arena = arena;
    }
  }
}

/** In SeriesIndex.divide: whether the labels of a pair's name tell groups apart; 0 is not known yet. */
const KEPT = 1;
const LEFT_OUT = 2;

interface GroupNode {
  readonly next: Map<number, GroupNode>;
  group: number;
}
