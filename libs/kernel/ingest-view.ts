// libs/kernel/ingest-view.ts: what a decoded write request holds, as columns in linear memory.
// Views are made once over the whole regions; counts say how far they are valid. Rows are series with at least one sample.
import { type IngestRegions, type IngestSizes, REQUEST, ROW_WORDS } from "./ingest-layout.ts";

const LABEL_AT = 0;
const LABEL_BYTES = 1;
const FIRST_SAMPLE = 2;
const SID = 3;

export class RequestView {
  /** ROW_WORDS words per row; read them by the methods below outside hot loops. */
  readonly rows: Uint32Array;
  /** Sample times in ms. */
  readonly times: Float64Array;
  /** Sample values, bit for bit as they came. */
  readonly values: Float64Array;
  /** Numbers of the rows whose label bytes are not known, ascending. */
  readonly unresolved: Uint32Array;
  /** Version 2: metric type, help symbol, unit symbol per row. */
  readonly families: Uint32Array;
  /** Bytes of the decompressed message. */
  messageBytes = 0;
  private readonly messageAt: number;
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly metadata: Uint32Array;
  private readonly symbols: Uint32Array;

  constructor(buffer: SharedArrayBuffer, regions: IngestRegions, sizes: IngestSizes) {
    this.bytes = new Uint8Array(buffer);
    this.messageAt = regions.decoded;
    this.words = new Uint32Array(buffer, regions.request, REQUEST.words);
    this.rows = new Uint32Array(buffer, regions.rows, regions.rowsMax * ROW_WORDS);
    this.times = new Float64Array(buffer, regions.times, regions.samplesMax);
    this.values = new Float64Array(buffer, regions.values, regions.samplesMax);
    this.unresolved = new Uint32Array(buffer, regions.unresolved, regions.rowsMax);
    this.families = new Uint32Array(buffer, regions.families, regions.rowsMax * 3);
    this.metadata = new Uint32Array(buffer, regions.metadata, regions.metadataMax * 2);
    this.symbols = new Uint32Array(buffer, regions.symbols, regions.symbolsMax * 2);
    const { words } = this;
    words[REQUEST.seriesCap] = regions.rowsMax;
    words[REQUEST.sampleCap] = regions.samplesMax;
    words[REQUEST.rows] = regions.rows;
    words[REQUEST.times] = regions.times;
    words[REQUEST.values] = regions.values;
    words[REQUEST.unresolved] = regions.unresolved;
    words[REQUEST.tags] = regions.tags;
    words[REQUEST.candidates] = regions.candidates;
    words[REQUEST.gather] = regions.gather;
    words[REQUEST.gatherCap] = sizes.labelBytesMax;
    words[REQUEST.metadata] = regions.metadata;
    words[REQUEST.metadataCap] = regions.metadataMax;
    words[REQUEST.symbols] = regions.symbols;
    words[REQUEST.symbolCap] = regions.symbolsMax;
    words[REQUEST.families] = regions.families;
  }

  /** Series with samples. */
  get seriesCount(): number {
    return this.words[REQUEST.seriesCount]!;
  }

  get sampleCount(): number {
    return this.words[REQUEST.sampleCount]!;
  }

  get unresolvedCount(): number {
    return this.words[REQUEST.unresolvedCount]!;
  }

  /** Rows whose labels are only guessed: right when a form proves it, and to be walked again otherwise. */
  get guessed(): number {
    return this.words[REQUEST.guessed]!;
  }

  /** Exemplars and native histograms in the request, and start times of its samples: counted here, read elsewhere. */
  get exemplars(): number {
    return this.words[REQUEST.exemplars]!;
  }

  get histograms(): number {
    return this.words[REQUEST.histograms]!;
  }

  get starts(): number {
    return this.words[REQUEST.starts]!;
  }

  /** A copy of the decompressed message. */
  messageCopy(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes.subarray(this.messageAt, this.messageAt + this.messageBytes));
  }

  /** Samples left out because their time is beyond ±2^53 ms. */
  get timeRefused(): number {
    return this.words[REQUEST.timeRefused]!;
  }

  /** Series left out because they hold nothing: neither samples nor histograms, nor, in version 2, exemplars, which may come alone. */
  get emptySeries(): number {
    return this.words[REQUEST.empty]!;
  }

  /** Version 2: series left out because a label reference names no symbol or stands alone, and their samples. */
  get refsRefused(): number {
    return this.words[REQUEST.refsRefused]!;
  }

  get refsRefusedSamples(): number {
    return this.words[REQUEST.refsRefusedSamples]!;
  }

  /** Version 1: metadata entries. */
  get metadataCount(): number {
    return this.words[REQUEST.metadataCount]!;
  }

  /** Version 2: symbols. */
  get symbolCount(): number {
    return this.words[REQUEST.symbolCount]!;
  }

  /** Where the malformed field begins. Only after a walk that failed. */
  get errorOffset(): number {
    return this.words[REQUEST.offset]!;
  }

  labelAddress(row: number): number {
    return this.rows[row * ROW_WORDS + LABEL_AT]!;
  }

  labelLength(row: number): number {
    return this.rows[row * ROW_WORDS + LABEL_BYTES]!;
  }

  /** A copy of a row's Label fields (version 1 encoding: tag 0a, length, Label; in the client's order). */
  labelBytes(row: number): Uint8Array {
    const at = this.labelAddress(row);
    return this.bytes.slice(at, at + this.labelLength(row));
  }

  firstSample(row: number): number {
    return this.rows[row * ROW_WORDS + FIRST_SAMPLE]!;
  }

  /** How many samples a row has: they lie at firstSample(row) and after it. */
  samplesOf(row: number): number {
    const end = row + 1 < this.seriesCount ? this.firstSample(row + 1) : this.sampleCount;
    return end - this.firstSample(row);
  }

  sid(row: number): number {
    return this.rows[row * ROW_WORDS + SID]!;
  }

  /** Gives a row its series; 0 leaves its samples out of every batch. */
  setSid(row: number, sid: number): void {
    this.rows[row * ROW_WORDS + SID] = sid;
  }

  /** A copy of a MetricMetadata message of a version 1 request. */
  metadataEntry(index: number): Uint8Array {
    const at = this.metadata[index * 2]!;
    return this.bytes.slice(at, at + this.metadata[index * 2 + 1]!);
  }

  /** A copy of a version 2 symbol, or undefined when there is none of that number. */
  symbol(ref: number): Uint8Array | undefined {
    if (!(ref < this.symbolCount)) return undefined;
    const at = this.symbols[ref * 2]!;
    return this.bytes.slice(at, at + this.symbols[ref * 2 + 1]!);
  }

  /** Empties the view. The kernel's own: called before each request and after a failed one. */
  clear(): void {
    this.messageBytes = 0;
    this.words.fill(0, REQUEST.offset, REQUEST.words);
  }

  /** Notes the message's length. The kernel's own. */
  message(length: number): void {
    this.messageBytes = length;
  }
}
