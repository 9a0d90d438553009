// libs/index/piece-reader.ts: finds series by matchers in a piece of the persistent index, and tells its label names and values.
// Only the chunks that a matcher's values may lie in are read. Native memory of bitmaps is freed before a call returns.
import { type CompiledMatcher, compareUtf8 } from "../model/index.ts";
import { type Bitmap, bitmapOf, createBitmap } from "./bitmap.ts";
import { damagedPiece, PieceSource } from "./piece-bytes.ts";
import { BITMAP_FROM } from "./postings.ts";

interface PieceName {
  readonly name: string;
  readonly number: number;
  /** How many values it has. */
  readonly size: number;
}

/** Where a walk over values stands; valid during the visit. */
interface Entry {
  readonly source: PieceSource;
  /** How many series carry the value; their places follow in the source. */
  count: number;
}

/** Entries that were found and not yet read, and how many series there are in all of them. */
interface Found {
  readonly entries: readonly { readonly source: PieceSource; readonly at: number; readonly count: number }[];
  readonly count: number;
}

/** Whether a matcher takes a few values only, which can be looked up one by one. */
function takesFew(m: CompiledMatcher): boolean {
  return m.values !== undefined && (m.values.length === 0 || m.matches(m.values[0]!));
}

/** A piece. Errors of all methods: CorruptionError. */
export class PieceReader {
  private readonly names = new Map<string, PieceName>();
  /** Each chunk's first pair: its name's number and its value. */
  private readonly firstNames: number[] = [];
  private readonly firstValues: string[] = [];
  private readonly inline: Uint8Array;
  private readonly readChunk: (chunk: number) => Uint8Array;
  /** Those that were read. */
  private readonly chunks: (Uint8Array | undefined)[] = [];
  private size: number;

  /** `readChunk` gives the chunks of a piece that is more than its directory, numbered from 0. */
  constructor(directory: Uint8Array, readChunk: (chunk: number) => Uint8Array) {
    const source = new PieceSource(directory);
    const count = source.uvarint();
    for (let number = 0; number < count; number++) {
      const name = source.text();
      this.names.set(name, { name, number, size: source.uvarint() });
    }
    const chunks = source.uvarint();
    for (let i = 0; i < chunks; i++) {
      this.firstNames.push(source.uvarint());
      this.firstValues.push(source.text());
    }
    this.inline = source.raw(directory.length - source.at);
    this.readChunk = this.inline.length > 0 ? () => this.inline : readChunk;
    this.size = directory.length;
  }

  /** Bytes that it keeps: the directory, and what was read. */
  get keptBytes(): number {
    return this.size;
  }

  /** Reads a chunk at each step, as long as nobody has read it. */
  *readAhead(): Generator<void, void, void> {
    for (let chunk = 0; chunk < this.firstNames.length; chunk++) {
      if (this.chunks[chunk] !== undefined) continue;
      this.chunkAt(chunk);
      yield;
    }
  }

  private chunkAt(chunk: number): Uint8Array {
    let bytes = this.chunks[chunk];
    if (bytes === undefined) {
      bytes = this.readChunk(chunk);
      this.chunks[chunk] = bytes;
      if (bytes !== this.inline) this.size += bytes.length;
    }
    return bytes;
  }

  /** Label names, in byte order. */
  labelNames(): string[] {
    return [...this.names.keys()];
  }

  /** Values of a label, in byte order. */
  labelValues(name: string): string[] {
    const found: string[] = [];
    this.visit(name, "", undefined, (value, entry) => {
      found.push(value);
      skipPlaces(entry);
    });
    return found;
  }

  /** The places of [first, first + count) whose series satisfy all matchers, ascending. */
  select(matchers: readonly CompiledMatcher[], first: number, count: number): Uint32Array {
    const positive = matchers.filter((m) => !m.matchesEmpty);
    const negative = matchers.filter((m) => m.matchesEmpty);
    if (positive.some(({ name }) => !this.names.has(name))) return new Uint32Array(0);
    // Values that are looked up tell how many series carry them: mostly there is a label of which none of them is here, which takes least
    // time to see where the label has few.
    const found: Found[] = [];
    positive.sort((a, b) => this.names.get(a.name)!.size - this.names.get(b.name)!.size);
    for (const m of positive) {
      if (!takesFew(m)) continue;
      const one = this.find(m);
      if (one.count === 0) return new Uint32Array(0);
      found.push(one);
    }
    found.sort((a, b) => a.count - b.count);
    // Fewest values first is a fair guess at fewest series first.
    const others = positive.filter((m) => !takesFew(m)).sort((a, b) => this.cost(a) - this.cost(b));
    let result: Bitmap | undefined;
    try {
      for (const m of [...found, ...others]) {
        const union = "entries" in m ? unionOf(m) : this.union(m, (value) => m.matches(value));
        if (result === undefined) result = union;
        else {
          result.andInPlace(union);
          union.dispose();
        }
        if (result.size === 0) return new Uint32Array(0);
      }
      if (result === undefined) {
        result = createBitmap();
        result.addRange(first, first + count);
      }
      for (const m of negative) {
        if (!this.names.has(m.name)) continue;
        const refused = this.union(m, (value) => !m.matches(value));
        result.andNotInPlace(refused);
        refused.dispose();
      }
      return result.toUint32Array();
    } finally {
      result?.dispose();
    }
  }

  private cost(m: CompiledMatcher): number {
    return m.values === undefined ? this.names.get(m.name)!.size : m.values.length;
  }

  /** Where the places of the series with one of a matcher's values are. */
  private find(m: CompiledMatcher): Found {
    const found: { source: PieceSource; at: number; count: number }[] = [];
    let count = 0;
    for (const value of new Set(m.values)) {
      this.visit(m.name, value, value, (_, entry) => {
        found.push({ source: entry.source, at: entry.source.at, count: entry.count });
        count += entry.count;
        skipPlaces(entry);
      });
    }
    return { entries: found, count };
  }

  /** The places of series whose label has a value that `accepts` takes. */
  private union(m: CompiledMatcher, accepts: (value: string) => boolean): Bitmap {
    const union = createBitmap();
    const few = new Places();
    try {
      const add = (value: string, entry: Entry): void => {
        if (!accepts(value)) skipPlaces(entry);
        else if (entry.count < BITMAP_FROM) few.add(entry);
        else addPlaces(union, entry);
      };
      // Where the positive form accepts a few values only, they are looked up one by one.
      const finite = m.values !== undefined && (m.values.length === 0 || accepts(m.values[0]!));
      if (finite) for (const value of new Set(m.values)) this.visit(m.name, value, value, add);
      else {
        // What a regex takes begins with its prefix; one that takes the empty value has none, so the prefix bounds either way.
        const prefix = m.values === undefined ? m.prefix : "";
        this.visit(m.name, prefix, undefined, add, prefix);
      }
      few.moveTo(union);
      return union;
    } catch (error) {
      union.dispose();
      throw error;
    }
  }

  /**
   * Calls `visit` for the values of a name from `from` on, in order: up to `to`, or as long as they begin with `prefix`. It must read the
   * places or skip them.
   */
  private visit(
    name: string,
    from: string,
    to: string | undefined,
    visit: (value: string, entry: Entry) => void,
    prefix = "",
  ): void {
    const found = this.names.get(name);
    if (found === undefined) return;
    const { number } = found;
    for (let chunk = this.chunkOf(number, from); chunk < this.firstNames.length; chunk++) {
      const firstName = this.firstNames[chunk]!;
      if (firstName > number) return;
      if (firstName === number && to !== undefined && compareUtf8(this.firstValues[chunk]!, to) > 0) return;
      const source = new PieceSource(this.chunkAt(chunk));
      while (!source.isAtEnd) {
        const section = source.uvarint();
        const entries = source.uvarint();
        const length = source.uvarint();
        if (section > number) return;
        if (section < number) source.skip(length);
        else if (!visitSection(new PieceSource(source.raw(length)), entries, from, to, prefix, visit)) return;
      }
    }
  }

  /** The last chunk that begins with the pair or one before it. */
  private chunkOf(name: number, value: string): number {
    let low = 0;
    let high = this.firstNames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const order = this.firstNames[middle]! - name || compareUtf8(this.firstValues[middle]!, value);
      if (order <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Whether the walk goes on behind the section. */
function visitSection(
  source: PieceSource,
  entries: number,
  from: string,
  to: string | undefined,
  prefix: string,
  visit: (value: string, entry: Entry) => void,
): boolean {
  const { bytes } = source;
  const entry = { source, count: 0 };
  const least = Buffer.from(from);
  let text = Buffer.alloc(64 + least.length);
  text.set(least);
  // Values below `from` are only compared. As they ascend, one says how many bytes it has in common with `from`, and the next is below, too,
  // if it shares more than these with it; whichever isn't begins with bytes of `from`.
  let common = 0;
  let isBelow = least.length > 0;
  for (let i = 0; i < entries; i++) {
    const shared = source.uvarint();
    const rest = source.uvarint();
    const start = source.at;
    source.skip(rest);
    entry.count = source.uvarint();
    if (isBelow && shared >= common) {
      if (shared === common) {
        let k = 0;
        while (k < rest && common < least.length && bytes[start + k] === least[common]) {
          k++;
          common++;
        }
        isBelow = common < least.length && (k === rest || bytes[start + k]! < least[common]!);
      }
      if (isBelow) {
        skipPlaces(entry);
        continue;
      }
    }
    isBelow = false;
    const length = shared + rest;
    if (shared > text.length) throw damagedPiece("a value that shares more than there is");
    if (length > text.length) {
      const longer = Buffer.alloc(2 * length);
      text.copy(longer, 0, 0, shared);
      text = longer;
    }
    text.set(bytes.subarray(start, start + rest), shared);
    const value = text.toString("utf8", 0, length);
    if ((to !== undefined && compareUtf8(value, to) > 0) || !value.startsWith(prefix)) return false;
    visit(value, entry);
  }
  return true;
}

function unionOf({ entries }: Found): Bitmap {
  const union = createBitmap();
  const few = new Places();
  try {
    for (const { source, at, count } of entries) {
      source.at = at;
      if (count < BITMAP_FROM) few.add({ source, count });
      else addPlaces(union, { source, count });
    }
    few.moveTo(union);
    return union;
  } catch (error) {
    union.dispose();
    throw error;
  }
}

/** Places of values that few series carry: a bitmap takes them all at once much faster than value by value. */
class Places {
  private places = new Uint32Array(BITMAP_FROM);
  private count = 0;

  add({ source, count }: Entry): void {
    if (this.count + count > this.places.length) {
      const more = new Uint32Array(2 * (this.count + count));
      more.set(this.places);
      this.places = more;
    }
    let last = -1;
    for (let i = 0; i < count; i++) {
      last += source.uvarint() + 1;
      this.places[this.count++] = last;
    }
  }

  moveTo(target: Bitmap): void {
    if (this.count > 0) target.addMany(this.places.subarray(0, this.count).sort());
  }
}

function addPlaces(target: Bitmap, { source }: Entry): void {
  const bitmap = bitmapOf(source.blob());
  target.orInPlace(bitmap);
  bitmap.dispose();
}

function skipPlaces({ source, count }: Entry): void {
  if (count >= BITMAP_FROM) source.skip(source.uvarint());
  else source.skipNumbers(count);
}
