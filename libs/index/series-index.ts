// libs/index/series-index.ts: the inverted index of the series in heads: labels ↔ series, per tenant, in memory.
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
import { addTexts, divide, type SeriesPairs } from "./divide.ts";
import { KeyView, NEW_PAIR } from "./key-view.ts";
import { PairTable } from "./pair-table.ts";
import { PostingTable } from "./postings.ts";
import { SelectionCache, type SeriesGroups, selectionKey } from "./selection-cache.ts";
import type { SeriesTable } from "./series-table.ts";
import { Verdicts } from "./verdicts.ts";

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
  /** Grows with each series that comes or is retired. */
  version: number;
  sortedNames: string[] | undefined;
}

/** Of no pair. */
const NO_PAIR = -1;

/** Of a page of KnownNumbers: tenants come and go at their own times, so the numbers of one lie together. */
const KNOWN_PAGE_BITS = 10;
const KNOWN_PAGE = 1 << KNOWN_PAGE_BITS;

/** Series of an index that a table has, too, by their numbers in the index: as long as no number becomes free for another series. */
export class KnownNumbers {
  private freed = 0;
  /** By series of the index: one more than its number in the table, 0 for not known. Where none is known there is no page. */
  private pages: (Uint32Array | undefined)[] = [];
  private pageCount = 0;

  get sizeBytes(): number {
    return this.pageCount * KNOWN_PAGE * 4;
  }

  /** To be told how many numbers the index has freed, before what is known is asked. */
  renew(freed: number): void {
    if (freed === this.freed) return;
    this.freed = freed;
    this.pages = [];
    this.pageCount = 0;
  }

  /** The number in the table, or -1. */
  get(series: number): number {
    const page = this.pages[series >>> KNOWN_PAGE_BITS];
    return page === undefined ? -1 : page[series & (KNOWN_PAGE - 1)]! - 1;
  }

  set(series: number, number: number): void {
    const at = series >>> KNOWN_PAGE_BITS;
    // Without holes: they would make a hash of the list.
    while (this.pages.length <= at) this.pages.push(undefined);
    let page = this.pages[at];
    if (page === undefined) {
      page = new Uint32Array(KNOWN_PAGE);
      this.pages[at] = page;
      this.pageCount++;
    }
    page[series & (KNOWN_PAGE - 1)] = number + 1;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const PAIRS_CHUNK = 1 << 16;
/** Their numbers have 16 bits. */
const TENANTS_MAX = 65_536;

/**
 * Label sets of series, found by matchers. A series leaves in two steps: once it is retired nothing finds it, but who has its number still gets its
 * labels; once it is freed its number and its labels' memory serve other series.
 */
export class SeriesIndex implements SeriesPairs {
  private readonly tenants = new Map<string, TenantEntry>();
  private readonly postings = new PostingTable();
  /** By pair number. */
  private readonly pairNames: NameEntry[] = [];
  private readonly pairValues: string[] = [];
  /** By pair number: series that carry it, retired ones included. */
  private pairUses = new Uint32Array(1024);
  private readonly freePairs: number[] = [];
  /** Words of the arena that no series needs any more. */
  private garbage = 0;
  /** By series: where its pairs begin in the arena, and how many they are. */
  starts = new Uint32Array(1024);
  lengths = new Uint16Array(1024);
  /** By series: the tenant's place in tenantList. */
  private owners = new Uint16Array(1024);
  private readonly tenantList: string[] = [];
  arena = new Uint32Array(PAIRS_CHUNK);
  private arenaUsed = 0;
  private seriesCount = 0;
  /** Series whose numbers became free since the start. */
  private freed = 0;
  private readonly selections = new SelectionCache();
  /** Of selections that are under way. */
  private readonly judging = new Set<Verdicts>();
  private readonly table: PairTable;
  private readonly key = new KeyView();
  /** The tenant of the key read last. */
  private lastTenant = new Uint8Array(0);
  private lastOwner = -1;

  /** `seed`: 8 bytes or more that an enemy doesn't know, for hashing what comes from outside. */
  constructor(seed: Uint8Array = new Uint8Array(8)) {
    this.table = new PairTable(seed);
  }

  get size(): number {
    return this.seriesCount;
  }

  get pairCount(): number {
    return this.pairValues.length;
  }

  /** Label pairs that some series carries, tenants counted. */
  get pairsInUse(): number {
    return this.pairValues.length - this.freePairs.length;
  }

  nameOf(pair: number): string {
    return this.pairNames[pair]!.name;
  }

  valueOf(pair: number): string {
    return this.pairValues[pair]!;
  }

  /** Bytes in typed arrays; strings and maps of the distinct pairs come on top. */
  get sizeBytes(): number {
    const columns = this.starts.byteLength + this.lengths.byteLength + this.owners.byteLength;
    const arenas = this.arena.byteLength + this.pairUses.byteLength;
    return this.postings.sizeBytes + columns + arenas + this.table.sizeBytes + this.selections.sizeBytes;
  }

  tenantNames(): readonly string[] {
    return this.tenantList;
  }

  /** The tenant that a series belongs to. */
  tenantOf(series: number): string {
    return this.tenantList[this.owners[series]!]!;
  }

  /** What a series key says. Valid until the next one is read. Errors: InvalidError for bytes that are no key. */
  read(bytes: Uint8Array, from = 0, to = bytes.length): KeyView {
    this.key.read(bytes, from, to, this.table, this.ownerOf, this.tenantAt);
    return this.key;
  }

  /** Adds a series, under a number that is not in use, by the key that was read last. */
  add(series: number, key: KeyView): void {
    const owner = this.tenantEntry(key.tenant);
    this.reserve(series, key.count);
    this.starts[series] = this.arenaUsed;
    this.lengths[series] = key.count;
    this.owners[series] = owner.number;
    for (let i = 0; i < key.count; i++) {
      const known = key.pairs[i]!;
      const pair = known === NEW_PAIR ? this.addPair(owner, key, i) : known;
      // It may be one that only retired series had.
      if (this.postings.size(pair) === 0) {
        this.pairNames[pair]!.sorted = undefined;
        owner.sortedNames = undefined;
      }
      this.arena[this.arenaUsed++] = pair;
      this.postings.add(pair, series);
      this.pairUses[pair]!++;
    }
    this.postings.add(owner.all, series);
    this.seriesCount++;
    owner.version++;
  }

  /** Nothing finds the series any more; its labels can still be had by its number. */
  retire(series: number): void {
    const owner = this.tenants.get(this.tenantOf(series))!;
    const end = this.starts[series]! + this.lengths[series]!;
    for (let i = this.starts[series]!; i < end; i++) {
      const pair = this.arena[i]!;
      this.postings.remove(pair, series);
      if (this.postings.size(pair) > 0) continue;
      this.pairNames[pair]!.sorted = undefined;
      owner.sortedNames = undefined;
    }
    this.postings.remove(owner.all, series);
    this.seriesCount--;
    owner.version++;
  }

  /** Gives the memory of a retired series to others; its number may be added again. */
  free(series: number): void {
    const owner = this.tenants.get(this.tenantOf(series))!;
    const end = this.starts[series]! + this.lengths[series]!;
    for (let i = this.starts[series]!; i < end; i++) {
      const pair = this.arena[i]!;
      if (--this.pairUses[pair]! > 0) continue;
      const entry = this.pairNames[pair]!;
      entry.values.delete(this.pairValues[pair]!);
      this.table.remove(pair);
      for (const verdicts of this.judging) verdicts.forget(pair);
      if (entry.values.size === 0) owner.names.delete(entry.name);
      this.pairValues[pair] = "";
      this.freePairs.push(pair);
    }
    this.garbage += this.lengths[series]!;
    this.lengths[series] = 0;
    this.freed++;
    if (this.garbage > PAIRS_CHUNK && this.garbage > this.arenaUsed / 2) this.compact();
  }

  /** Moves what series need of the arena together. */
  private compact(): void {
    const arena = new Uint32Array(this.arena.length);
    let used = 0;
    for (let series = 0; series < this.starts.length; series++) {
      const length = this.lengths[series]!;
      if (length === 0) continue;
      const start = this.starts[series]!;
      arena.set(this.arena.subarray(start, start + length), used);
      this.starts[series] = used;
      used += length;
    }
    this.arena = arena;
    this.arenaUsed = used;
    this.garbage = 0;
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

  /** Whether a key is that of a series. */
  has(series: number, key: KeyView): boolean {
    const start = this.starts[series]!;
    if (this.owners[series] !== key.owner || this.lengths[series] !== key.count) return false;
    for (let i = 0; i < key.count; i++) if (this.arena[start + i] !== key.pairs[i]) return false;
    return true;
  }

  /**
   * Divides series: two are in one group exactly when their labels agree after keeping (`without` false) or dropping
   * (`without` true) `names`. The cheap way to group many series: labels are built per group, never per series. The
   * result may be shared: it must not be written to.
   */
  groupKeys(series: Uint32Array, names: readonly string[], without: boolean): SeriesGroups {
    const key = JSON.stringify([without, ...names]);
    return this.selections.grouping(series, key, () => divide(series, this, names, without));
  }

  /**
   * The tenant's series that satisfy all matchers, ascending. The array may be shared: it must not be written to.
   * Errors: InvalidError for a bad regex.
   */
  select(tenant: string, matchers: readonly Matcher[]): Uint32Array {
    const owner = this.tenants.get(tenant);
    if (owner === undefined) return new Uint32Array(0);
    return this.selected(tenant, matchers) ?? this.find(tenant, owner, matchers, new Verdicts());
  }

  /** As select, if it was found before and nothing has changed. */
  selected(tenant: string, matchers: readonly Matcher[]): Uint32Array | undefined {
    const owner = this.tenants.get(tenant);
    return owner && this.selections.find(selectionKey(tenant, matchers), owner.version);
  }

  /**
   * As select, in steps: expressions that have to meet many values do so a few at a time. What is found is what there is in the last step; series
   * may come and go between the steps.
   */
  *selecting(tenant: string, matchers: readonly Matcher[]): Generator<void, Uint32Array> {
    const owner = this.tenants.get(tenant);
    if (owner === undefined) return new Uint32Array(0);
    const verdicts = new Verdicts();
    this.judging.add(verdicts);
    try {
      for (const matcher of matchers) {
        const entry = owner.names.get(matcher.name);
        if (entry !== undefined) yield* verdicts.judge(matcher, entry.values, this.pairValues.length);
      }
      return this.find(tenant, owner, matchers, verdicts);
    } finally {
      this.judging.delete(verdicts);
    }
  }

  private find(tenant: string, owner: TenantEntry, matchers: readonly Matcher[], verdicts: Verdicts): Uint32Array {
    const found = this.search(owner, matchers, verdicts);
    this.selections.keep(selectionKey(tenant, matchers), owner.version, found);
    return found;
  }

  private search(owner: TenantEntry, matchers: readonly Matcher[], verdicts: Verdicts): Uint32Array {
    const accepting = matchers.map((matcher) => ({ m: compileMatcher(matcher), matches: verdicts.of(matcher) }));
    const positive = accepting.filter(({ m }) => !m.matchesEmpty);
    const negative = accepting.filter(({ m }) => m.matchesEmpty);
    // Fewest pairs first is a fair guess at fewest series first, and it costs nothing to find out.
    const lists = positive.map(({ m, matches }) => this.pairsOf(owner, m, matches));
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
      for (const { m, matches } of negative) {
        const refused = this.pairsOf(owner, m, (value, pair) => !matches(value, pair));
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

  /** Sorted label names of all the tenant's series. */
  labelNames(tenant: string): readonly string[] {
    const owner = this.tenants.get(tenant);
    if (owner === undefined) return [];
    owner.sortedNames ??= [...owner.names.values()]
      .filter(({ values }) => this.isCarried(values))
      .map(({ name }) => name)
      .sort(compareUtf8);
    return owner.sortedNames;
  }

  /** Sorted values of a label over all the tenant's series. */
  labelValues(tenant: string, name: string): readonly string[] {
    const entry = this.tenants.get(tenant)?.names.get(name);
    if (entry === undefined) return [];
    entry.sorted ??= [...entry.values.keys()]
      .filter((value) => this.postings.size(entry.values.get(value)!) > 0)
      .sort(compareUtf8);
    return entry.sorted;
  }

  /** Whether any series that is not retired has one of a name's values. */
  private isCarried(values: ReadonlyMap<string, number>): boolean {
    for (const pair of values.values()) if (this.postings.size(pair) > 0) return true;
    return false;
  }

  /** Adds the label names of these series. */
  addNames(series: Uint32Array, to: Set<string>): void {
    addTexts(series, this, (pair) => this.pairNames[pair]!.name, to);
  }

  /** Adds the values that these series have of a label. */
  addValues(name: string, series: Uint32Array, to: Set<string>): void {
    addTexts(series, this, (pair) => (this.pairNames[pair]!.name === name ? this.pairValues[pair] : undefined), to);
  }

  /**
   * Notes for each of these series that the table has, too, where in `series` it is, by its number in the table. `known` remembers what was
   * found, for the next time that this table is asked.
   */
  findIn(
    table: SeriesTable,
    series: Uint32Array,
    indexOf: { set(series: number, index: number): void },
    known?: KnownNumbers,
  ): void {
    known?.renew(this.freed);
    // By pair number here: one more than the pair's number there, 0 for not looked up, -1 for unknown. Mostly all series are known.
    let pairOf: Int32Array | undefined;
    let pairs = new Uint32Array(64);
    for (let i = 0; i < series.length; i++) {
      const before = known === undefined ? -1 : known.get(series[i]!);
      if (before >= 0) {
        indexOf.set(before, i);
        continue;
      }
      pairOf ??= new Int32Array(this.pairValues.length);
      const start = this.starts[series[i]!]!;
      const length = this.lengths[series[i]!]!;
      if (length > pairs.length) pairs = new Uint32Array(length * 2);
      let k = 0;
      for (; k < length; k++) {
        const pair = this.arena[start + k]!;
        if (pairOf[pair] === 0) {
          const found = table.findPair(this.pairNames[pair]!.name, this.pairValues[pair]!);
          pairOf[pair] = found < 0 ? -1 : found + 1;
        }
        if (pairOf[pair]! < 0) break;
        pairs[k] = pairOf[pair]! - 1;
      }
      if (k < length) continue;
      const found = table.find(pairs, length);
      if (found < 0) continue;
      indexOf.set(found, i);
      known?.set(series[i]!, found);
    }
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
    for (const [value, pair] of entry.values) {
      const seriesCount = this.postings.size(pair);
      // Retired series may have been the last.
      if (seriesCount > 0) yield { value, seriesCount };
    }
  }

  dispose(): void {
    this.postings.dispose();
  }

  /** Pair numbers of a matcher's label whose value passes `accepts`. Finite sets of values are looked up, not scanned. */
  private pairsOf(owner: TenantEntry, m: CompiledMatcher, accepts: (value: string, pair: number) => boolean): number[] {
    const entry = owner.names.get(m.name);
    const out: number[] = [];
    if (entry === undefined) return out;
    const finite = m.values !== undefined && accepts(m.values[0]!, NO_PAIR);
    if (finite) {
      for (const value of m.values!) {
        const pair = entry.values.get(value);
        if (pair !== undefined) out.push(pair);
      }
      return out;
    }
    for (const [value, pair] of entry.values) if (accepts(value, pair)) out.push(pair);
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
      owner = { number: this.tenantList.length, names: new Map(), all, version: 0, sortedNames: undefined };
      this.tenantList.push(tenant);
      this.tenants.set(tenant, owner);
    }
    return owner;
  }

  /** Makes a key's i-th pair, which no series has. */
  private addPair(owner: TenantEntry, key: KeyView, i: number): number {
    const name = key.labels[2 * i]!;
    const value = key.labels[2 * i + 1]!;
    let entry = owner.names.get(name);
    if (entry === undefined) {
      entry = { name, values: new Map(), sorted: undefined };
      owner.names.set(name, entry);
    }
    const pair = this.freePairs.pop() ?? this.pairValues.length;
    this.pairValues[pair] = value;
    this.pairNames[pair] = entry;
    entry.values.set(value, pair);
    this.table.add(pair, owner.number, key.bytes, key.starts[i]!, key.ends[i]!);
    if (pair >= this.pairUses.length) {
      const uses = new Uint32Array(pair * 2);
      uses.set(this.pairUses);
      this.pairUses = uses;
    }
    return pair;
  }

  /** The number of the tenant with this name, or -1. Keys of one tenant mostly follow each other. */
  private readonly ownerOf = (bytes: Uint8Array, from: number, to: number): number => {
    const { lastTenant } = this;
    let i = 0;
    while (i < lastTenant.length && from + i < to && lastTenant[i] === bytes[from + i]) i++;
    if (i === lastTenant.length && from + i === to) return this.lastOwner;
    const name = bytes.slice(from, to);
    const owner = this.tenants.get(textOf(name) ?? "");
    if (owner === undefined) return -1;
    this.lastTenant = name;
    this.lastOwner = owner.number;
    return owner.number;
  };

  private readonly tenantAt = (owner: number): string => this.tenantList[owner]!;

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

/** Undefined for what is not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
