// libs/kernel/ingest-layout.ts: where everything of an insert lies in its linear memory, and the words it shares with the kernel.
// Mirrors assembly/lib/layout.ts and the batch block of assembly/lib/batch.ts. Regions are planned once and never move; a
// page that is never touched takes no RSS, so caps are generous. Behind each region lie SLACK_BYTES for over-copies.
import { InvalidError } from "../model/index.ts";

/** Kernels move 16 bytes at a time: they may read and write up to this far behind a region's end. */
export const SLACK_BYTES = 128;
/** Bytes of secret key behind the form table's hash. */
export const HASH_KEY_BYTES = 1120;
/** u32 words of a series row: label address, label bytes, first sample, sid. */
export const ROW_WORDS = 4;
export const BATCH_HEADER_BYTES = 32;
/** Bytes of a registration without its key. */
export const REGISTRATION_BYTES = 36;
/** A sample takes at most a run of its own (18 bytes) and a value with half a control byte. */
export const BATCH_SAMPLE_BYTES_MAX = 27;
/** What ordering a batch takes besides two lists of 8 bytes a sample: counters and times. */
export const ORDER_SCRATCH_BYTES = 9216;
export const BATCH_MAGIC = 0x31424d54;

/** Word numbers of the request block. */
export const REQUEST = {
  seriesCap: 0,
  sampleCap: 1,
  rows: 2,
  times: 3,
  values: 4,
  unresolved: 5,
  tags: 6,
  candidates: 7,
  gather: 8,
  gatherCap: 9,
  metadata: 10,
  metadataCap: 11,
  symbols: 12,
  symbolCap: 13,
  families: 14,
  offset: 16,
  seriesCount: 17,
  sampleCount: 18,
  unresolvedCount: 19,
  exemplars: 20,
  histograms: 21,
  metadataCount: 22,
  timeRefused: 23,
  empty: 24,
  refsRefused: 25,
  refsRefusedSamples: 26,
  gathered: 27,
  symbolCount: 28,
  guessed: 29,
  starts: 30,
  words: 32,
} as const;

/** Word numbers of the forms block. */
export const FORMS = {
  arena: 0,
  used: 1,
  cap: 2,
  table: 3,
  bits: 4,
  count: 5,
  keys: 6,
  seen: 7,
  epoch: 8,
  last: 9,
  newest: 10,
  rounds: 11,
  words: 16,
} as const;

/** Word numbers of the batch block. */
export const BATCH = {
  out: 0,
  cap: 1,
  refs: 2,
  shards: 3,
  owned: 4,
  seq: 5,
  registrations: 6,
  registrationBytes: 7,
  missing: 8,
  scratch: 9,
  samples: 10,
  missingCount: 11,
  from: 12,
  to: 13,
  words: 16,
} as const;

/** What the kernel exports. Addresses and lengths are u32; negative results are codes of assembly/lib/codes.ts. */
export interface IngestExports {
  snappyDeclaredLength(src: number, srcLength: number): number;
  snappyDecode(src: number, srcLength: number, dst: number, dstCap: number): number;
  walkV1(src: number, length: number, tenant: number, forms: number, request: number, guess: number): number;
  walkV2(src: number, length: number, request: number): number;
  predictRows(forms: number, tenant: number, request: number): void;
  resolveRows(forms: number, tenant: number, request: number): number;
  lookUp(forms: number, tenant: number, at: number, length: number): number;
  remember(forms: number, tenant: number, at: number, length: number, sid: number): number;
  growTable(forms: number, table: number, bits: number): void;
  sweepForms(forms: number, ageMax: number): number;
  encodeBatch(request: number, batch: number): number;
  siphash128(key: number, at: number, length: number, out: number): void;
}

/** Sizes that bound an insert. All are reserved as address space; what is not used takes no memory. */
export interface IngestSizes {
  /** A request's body as it arrives. Default 32 MiB. */
  readonly bodyBytesMax: number;
  /** A request's message after snappy. Default 32 MiB, at most 128 MiB. */
  readonly decodedBytesMax: number;
  /** Label bytes of one 2.0 request, written out. Default 8 × decodedBytesMax. */
  readonly labelBytesMax: number;
  /** Series an insert knows at a time: sids run from 1 to this. Default 4,194,304. */
  readonly seriesMax: number;
  /** Bytes of remembered label forms. Default 1 GiB. */
  readonly formBytesMax: number;
  /** Dictionaries, one per connection to a storage. Default 16. */
  readonly dictionariesMax: number;
  /** Registrations in one batch. Default 64 MiB. */
  readonly registrationBytesMax: number;
}

const MIB = 1024 * 1024;

export function ingestSizes(sizes: Partial<IngestSizes> = {}): IngestSizes {
  const decodedBytesMax = sizes.decodedBytesMax ?? 32 * MIB;
  const all: IngestSizes = {
    bodyBytesMax: sizes.bodyBytesMax ?? 32 * MIB,
    decodedBytesMax,
    labelBytesMax: sizes.labelBytesMax ?? 8 * decodedBytesMax,
    seriesMax: sizes.seriesMax ?? 4 * MIB,
    formBytesMax: sizes.formBytesMax ?? 1024 * MIB,
    dictionariesMax: sizes.dictionariesMax ?? 16,
    registrationBytesMax: sizes.registrationBytesMax ?? 64 * MIB,
  };
  if (decodedBytesMax > 128 * MIB) {
    throw new InvalidError(
      `cannot plan ingest memory: got ${decodedBytesMax} decoded bytes; want at most ${128 * MIB}`,
    );
  }
  return all;
}

/** Addresses of all regions, and the counts that follow from their sizes. */
export interface IngestRegions {
  readonly request: number;
  readonly forms: number;
  readonly batch: number;
  readonly hashKey: number;
  readonly scratch: number;
  readonly scratchBytes: number;
  readonly body: number;
  readonly decoded: number;
  /** Rows of one request. */
  readonly rowsMax: number;
  readonly rows: number;
  /** Samples of one request. */
  readonly samplesMax: number;
  readonly times: number;
  readonly values: number;
  readonly unresolved: number;
  readonly tags: number;
  readonly candidates: number;
  readonly gather: number;
  readonly metadataMax: number;
  readonly metadata: number;
  readonly symbolsMax: number;
  readonly symbols: number;
  readonly families: number;
  readonly out: number;
  readonly outBytes: number;
  readonly missing: number;
  readonly batchScratch: number;
  readonly arena: number;
  /** Two table regions of 2^tableBitsMax slots: the table moves from one to the other when it grows. */
  readonly tables: readonly [number, number];
  readonly tableBitsMax: number;
  readonly seen: number;
  readonly shards: number;
  readonly refs: readonly number[];
  readonly owned: readonly number[];
  readonly totalBytes: number;
}

/** Shard numbers are u16. */
export const OWNED_BYTES = 65_536;
const SCRATCH_BYTES = MIB;

/** Lays out the memory. Errors: InvalidError when it would pass the 4 GiB of a 32-bit memory. */
export function planRegions(sizes: IngestSizes): IngestRegions {
  let end = 64;
  const region = (bytes: number): number => {
    const at = end;
    end = Math.ceil((at + bytes + SLACK_BYTES) / 64) * 64;
    return at;
  };
  const rowsMax = sizes.decodedBytesMax >> 4;
  const samplesMax = sizes.decodedBytesMax >> 3;
  const metadataMax = sizes.decodedBytesMax >> 4;
  const symbolsMax = sizes.decodedBytesMax >> 3;
  const tableBitsMax = Math.max(12, Math.ceil(Math.log2((sizes.seriesMax * 8) / 5)));
  const outBytes = BATCH_HEADER_BYTES + BATCH_SAMPLE_BYTES_MAX * samplesMax + sizes.registrationBytesMax;
  const dictionaries = Array.from({ length: sizes.dictionariesMax });
  const plan = {
    request: region(REQUEST.words * 4),
    forms: region(FORMS.words * 4),
    batch: region(BATCH.words * 4),
    hashKey: region(HASH_KEY_BYTES),
    scratch: region(SCRATCH_BYTES),
    scratchBytes: SCRATCH_BYTES,
    body: region(sizes.bodyBytesMax),
    decoded: region(sizes.decodedBytesMax),
    rowsMax,
    rows: region(rowsMax * ROW_WORDS * 4),
    samplesMax,
    times: region(samplesMax * 8),
    values: region(samplesMax * 8),
    unresolved: region(rowsMax * 4),
    tags: region(rowsMax * 4),
    candidates: region(rowsMax * 4),
    gather: region(sizes.labelBytesMax),
    metadataMax,
    metadata: region(metadataMax * 8),
    symbolsMax,
    symbols: region(symbolsMax * 8),
    families: region(rowsMax * 12),
    out: region(outBytes),
    outBytes,
    missing: region(rowsMax * 4),
    batchScratch: region(ORDER_SCRATCH_BYTES + samplesMax * 16),
    arena: region(sizes.formBytesMax),
    tables: [region(8 * 2 ** tableBitsMax), region(8 * 2 ** tableBitsMax)] as const,
    tableBitsMax,
    seen: region(sizes.seriesMax + 1),
    shards: region((sizes.seriesMax + 1) * 2),
    refs: dictionaries.map(() => region((sizes.seriesMax + 1) * 4)),
    owned: dictionaries.map(() => region(OWNED_BYTES)),
  };
  if (end > 2 ** 32) {
    throw new InvalidError(`cannot plan ingest memory: got regions of ${end} bytes; want at most 4 GiB together`);
  }
  return { ...plan, totalBytes: end };
}
