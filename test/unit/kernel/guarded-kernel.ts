// test/unit/kernel/guarded-kernel.ts: the ingest kernel over small regions with canaries around each, and plain calls that answer like the twins.
// In front of a region and behind its declared slack lie bytes that nothing may change. Inputs end where their region ends, and the slack
// behind them is filled by the caller's choice, so that reading beyond an input shows in the results.
import {
  BATCH,
  FORMS,
  HASH_KEY_BYTES,
  type IngestExports,
  ORDER_SCRATCH_BYTES,
  REQUEST,
  SLACK_BYTES,
} from "../../../libs/kernel/ingest-layout.ts";
import { createMemory, loadKernel } from "../../../libs/kernel/load.ts";
import type { Walked, WalkLimits } from "../../../libs/kernel/twin/walk.ts";

const GUARD_BYTES = 64;
const CANARY = 0x5ac3_96f1;
const NOTHING = new Uint8Array(0);

export interface GuardedSizes extends WalkLimits {
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly arenaBytes: number;
  readonly tableBits: number;
  readonly sids: number;
  readonly batchBytes: number;
}

export const SMALL: GuardedSizes = {
  inputBytes: 1 << 16,
  outputBytes: 1 << 16,
  series: 64,
  samples: 128,
  labelBytes: 1 << 14,
  metadata: 16,
  symbols: 256,
  arenaBytes: 1 << 16,
  tableBits: 10,
  sids: 1024,
  batchBytes: 1 << 14,
};

export class GuardedKernel {
  readonly kernel: IngestExports;
  readonly bytes: Uint8Array;
  readonly request: Uint32Array;
  readonly forms: Uint32Array;
  readonly batch: Uint32Array;
  readonly sizes: GuardedSizes;
  private readonly buffer: SharedArrayBuffer;
  private readonly guards: Uint32Array[] = [];
  private readonly requestAt: number;
  private readonly formsAt: number;
  private readonly batchAt: number;
  private readonly inputEnd: number;
  private readonly output: number;
  readonly tables: readonly [number, number];

  constructor(sizes: GuardedSizes = SMALL, seed = 1) {
    this.sizes = sizes;
    const memory = createMemory(
      (1 << 20) +
        sizes.inputBytes +
        sizes.outputBytes +
        sizes.arenaBytes +
        sizes.labelBytes +
        sizes.batchBytes +
        sizes.series * 96 +
        sizes.samples * 24 +
        sizes.symbols * 8 +
        sizes.metadata * 8 +
        sizes.sids * 8 +
        (16 << sizes.tableBits),
    );
    this.buffer = memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.kernel = loadKernel<IngestExports>("ingest", memory);
    let end = 4096;
    const region = (size: number): number => {
      this.guard(end);
      const at = end + GUARD_BYTES;
      end = Math.ceil((at + size + SLACK_BYTES) / 8) * 8;
      this.guard(end);
      end += GUARD_BYTES;
      return at;
    };
    this.requestAt = region(REQUEST.words * 4);
    this.formsAt = region(FORMS.words * 4);
    this.batchAt = region(BATCH.words * 4);
    this.request = new Uint32Array(this.buffer, this.requestAt, REQUEST.words);
    this.forms = new Uint32Array(this.buffer, this.formsAt, FORMS.words);
    this.batch = new Uint32Array(this.buffer, this.batchAt, BATCH.words);
    this.inputEnd = region(sizes.inputBytes) + sizes.inputBytes;
    this.output = region(sizes.outputBytes);
    const { request, forms, batch } = this;
    request[REQUEST.seriesCap] = sizes.series;
    request[REQUEST.sampleCap] = sizes.samples;
    request[REQUEST.rows] = region(sizes.series * 16);
    request[REQUEST.times] = region(sizes.samples * 8);
    request[REQUEST.values] = region(sizes.samples * 8);
    request[REQUEST.unresolved] = region(sizes.series * 4);
    request[REQUEST.tags] = region(sizes.series * 4);
    request[REQUEST.candidates] = region(sizes.series * 4);
    request[REQUEST.gather] = region(sizes.labelBytes);
    request[REQUEST.gatherCap] = sizes.labelBytes;
    request[REQUEST.metadata] = region(sizes.metadata * 8);
    request[REQUEST.metadataCap] = sizes.metadata;
    request[REQUEST.symbols] = region(sizes.symbols * 8);
    request[REQUEST.symbolCap] = sizes.symbols;
    request[REQUEST.families] = region(sizes.series * 12);
    forms[FORMS.arena] = region(sizes.arenaBytes);
    forms[FORMS.used] = 8;
    forms[FORMS.cap] = sizes.arenaBytes;
    this.tables = [region(8 << sizes.tableBits), region(8 << sizes.tableBits)];
    forms[FORMS.table] = this.tables[0];
    forms[FORMS.bits] = sizes.tableBits;
    forms[FORMS.keys] = region(HASH_KEY_BYTES);
    forms[FORMS.seen] = region(sizes.sids);
    let state = seed;
    for (let i = 0; i < HASH_KEY_BYTES; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      this.bytes[forms[FORMS.keys]! + i] = state >>> 24;
    }
    batch[BATCH.out] = region(sizes.batchBytes);
    batch[BATCH.cap] = sizes.batchBytes;
    batch[BATCH.refs] = region(sizes.sids * 4);
    batch[BATCH.shards] = region(sizes.sids * 2);
    batch[BATCH.missing] = region(sizes.series * 4);
    batch[BATCH.scratch] = region(ORDER_SCRATCH_BYTES + sizes.samples * 16);
    batch[BATCH.owned] = region(256);
    batch[BATCH.to] = 0xffff_ffff;
  }

  private guard(at: number): void {
    const words = new Uint32Array(this.buffer, at, GUARD_BYTES / 4);
    words.fill(CANARY);
    this.guards.push(words);
  }

  /** Throws when any canary was changed. */
  check(): void {
    for (const words of this.guards) {
      for (let i = 0; i < words.length; i++) {
        if (words[i] !== CANARY)
          throw new Error(`canary ${this.guards.indexOf(words)} changed at ${words.byteOffset + i * 4}`);
      }
    }
  }

  /** Lays an input at the end of its region, `behind` in the slack. Returns its address. */
  private input(bytes: Uint8Array, behind: Uint8Array): number {
    const at = this.inputEnd - bytes.length;
    this.bytes.set(bytes, at);
    this.bytes.fill(0xff, this.inputEnd, this.inputEnd + SLACK_BYTES);
    this.bytes.set(behind.subarray(0, SLACK_BYTES), this.inputEnd);
    return at;
  }

  /** Decodes into exactly `cap` bytes: what lies behind them and their slack is guarded. */
  snappyDecode(block: Uint8Array, cap: number, behind: Uint8Array = NOTHING): Uint8Array | number {
    const at = this.input(block, behind);
    const dst = this.output + this.sizes.outputBytes - cap;
    const length = this.kernel.snappyDecode(at, block.length, dst, cap);
    return length < 0 ? length : this.bytes.slice(dst, dst + length);
  }

  snappyDeclaredLength(block: Uint8Array, behind: Uint8Array = NOTHING): number {
    return this.kernel.snappyDeclaredLength(this.input(block, behind), block.length);
  }

  /** Walks a message; the result of version 2 is identified, too. Returns the code. */
  walk(message: Uint8Array, version: 1 | 2, tenant = 0, behind: Uint8Array = NOTHING, guess = false): number {
    const at = this.input(message, behind);
    const code =
      version === 1
        ? this.kernel.walkV1(at, message.length, tenant, this.formsAt, this.requestAt, guess ? 1 : 0)
        : this.kernel.walkV2(at, message.length, this.requestAt);
    if (code === 0 && version === 2) this.kernel.predictRows(this.formsAt, tenant, this.requestAt);
    return code;
  }

  resolve(tenant = 0): number {
    return this.kernel.resolveRows(this.formsAt, tenant, this.requestAt);
  }

  word(name: keyof typeof REQUEST): number {
    return this.request[REQUEST[name]]!;
  }

  row(index: number): { labels: Uint8Array; labelAt: number; first: number; sid: number } {
    const [labelAt, length, first, sid] = new Uint32Array(this.buffer, this.word("rows") + index * 16, 4);
    return { labels: this.bytes.slice(labelAt!, labelAt! + length!), labelAt: labelAt!, first: first!, sid: sid! };
  }

  setSid(index: number, sid: number): void {
    new Uint32Array(this.buffer, this.word("rows") + index * 16, 4)[3] = sid;
  }

  unresolved(): number[] {
    return [...new Uint32Array(this.buffer, this.word("unresolved"), this.word("unresolvedCount"))];
  }

  remember(row: number, tenant: number, sid: number): number {
    const { labels, labelAt } = this.row(row);
    return this.kernel.remember(this.formsAt, tenant, labelAt, labels.length, sid);
  }

  lookUp(tenant: number, labels: Uint8Array): number {
    return this.kernel.lookUp(this.formsAt, tenant, this.input(labels, labels), labels.length);
  }

  growTable(bits: number): void {
    const other = this.forms[FORMS.table] === this.tables[0] ? this.tables[1] : this.tables[0];
    this.kernel.growTable(this.formsAt, other, bits);
  }

  sweep(ageMax: number): number {
    return this.kernel.sweepForms(this.formsAt, ageMax);
  }

  encode(): Uint8Array | number {
    const length = this.kernel.encodeBatch(this.requestAt, this.batchAt);
    const at = this.batch[BATCH.out]!;
    return length <= 0 ? length : this.bytes.slice(at, at + length);
  }

  siphash128(key: Uint8Array, message: Uint8Array): Uint8Array {
    this.bytes.set(key, this.output);
    this.kernel.siphash128(this.output, this.input(message, key), message.length, this.output + 32);
    return this.bytes.slice(this.output + 32, this.output + 48);
  }

  /** The walked request as the twin gives it. */
  walked(version: 1 | 2): Walked {
    const count = this.word("seriesCount");
    const times = new Float64Array(this.buffer, this.word("times"), this.sizes.samples);
    const bits = new BigUint64Array(this.buffer, this.word("values"), this.sizes.samples);
    const pairs = (at: number, n: number): Uint8Array[] =>
      Array.from({ length: n }, (_, i) => {
        const [from, length] = new Uint32Array(this.buffer, at + i * 8, 2);
        return this.bytes.slice(from!, from! + length!);
      });
    return {
      series: Array.from({ length: count }, (_, i) => {
        const { labels, first } = this.row(i);
        const end = i + 1 < count ? this.row(i + 1).first : this.word("sampleCount");
        const family = new Uint32Array(this.buffer, this.word("families") + i * 12, 3);
        return {
          labels,
          times: [...times.subarray(first, end)],
          bits: [...bits.subarray(first, end)],
          family: version === 2 ? [family[0]!, family[1]!, family[2]!] : [0, 0, 0],
        };
      }),
      metadata: pairs(this.word("metadata"), this.word("metadataCount")),
      symbols: pairs(this.word("symbols"), this.word("symbolCount")),
      exemplars: this.word("exemplars"),
      histograms: this.word("histograms"),
      starts: this.word("starts"),
      timeRefused: this.word("timeRefused"),
      empty: this.word("empty"),
      refsRefused: this.word("refsRefused"),
      refsRefusedSamples: this.word("refsRefusedSamples"),
    };
  }
}
