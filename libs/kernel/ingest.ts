// libs/kernel/ingest.ts: an insert's hot path: remote write bodies in, columns of samples with series numbers out.
// One IngestKernel per process: it owns one linear memory and holds one request at a time; decode, registration and
// the batches of a request run without awaiting in between. Nothing here is allocated per sample or per known series.
// A series is known here by its sid (1 … seriesMax, given by the caller; 0 = unknown, or not to be stored).
import { type Hash128, InternalError, InvalidError } from "../model/index.ts";
import { BatchWriter, IngestDictionary } from "./ingest-batch.ts";
import { describeCode, isFull, isMalformed, isTableFull } from "./ingest-codes.ts";
import {
  FORMS,
  HASH_KEY_BYTES,
  type IngestExports,
  type IngestRegions,
  type IngestSizes,
  ingestSizes,
  planRegions,
} from "./ingest-layout.ts";
import { RequestView } from "./ingest-view.ts";
import { createMemory, loadKernel } from "./load.ts";
import { siphash128 } from "./twin/siphash.ts";

const TABLE_BITS_MIN = 12;
const TABLE_FILL_MAX = 5 / 8;

export interface IngestOptions extends Partial<IngestSizes> {
  /** HASH_KEY_BYTES random bytes: the secret behind the form table. Not the cluster's hash seed; never stored. */
  readonly hashKey: Uint8Array;
}

export class IngestKernel {
  readonly sizes: IngestSizes;
  /** The whole linear memory, as bytes. Addresses in a view count from its start. */
  readonly bytes: Uint8Array;
  /** The request that was decoded last. */
  readonly view: RequestView;
  /** Shard of each sid, set by the caller when it registers a series. */
  readonly shards: Uint16Array;
  /** Epoch (modulo 256) in which each sid last had a sample. */
  readonly seen: Uint8Array;
  readonly batch: BatchWriter;
  private readonly kernel: IngestExports;
  private readonly regions: IngestRegions;
  private readonly forms: Uint32Array;
  private readonly freeDictionaries: IngestDictionary[] = [];

  /** Errors: InvalidError for sizes beyond 4 GiB in all, or a hash key of another length. */
  constructor(options: IngestOptions) {
    if (options.hashKey.length !== HASH_KEY_BYTES) {
      throw new InvalidError(`cannot key form table: got ${options.hashKey.length} bytes; want ${HASH_KEY_BYTES}`);
    }
    this.sizes = ingestSizes(options);
    this.regions = planRegions(this.sizes);
    const memory = createMemory(this.regions.totalBytes);
    this.kernel = loadKernel<IngestExports>("ingest", memory);
    const buffer = memory.buffer;
    const { regions } = this;
    this.bytes = new Uint8Array(buffer);
    this.bytes.set(options.hashKey, regions.hashKey);
    this.shards = new Uint16Array(buffer, regions.shards, this.sizes.seriesMax + 1);
    this.seen = new Uint8Array(buffer, regions.seen, this.sizes.seriesMax + 1);
    this.view = new RequestView(buffer, regions, this.sizes);
    this.forms = new Uint32Array(buffer, regions.forms, FORMS.words);
    this.forms[FORMS.arena] = regions.arena;
    this.forms[FORMS.cap] = this.sizes.formBytesMax;
    this.forms[FORMS.keys] = regions.hashKey;
    this.forms[FORMS.seen] = regions.seen;
    this.forgetAll();
    this.batch = new BatchWriter(buffer, this.kernel, regions, this.sizes);
    for (let i = this.sizes.dictionariesMax - 1; i >= 0; i--) {
      this.freeDictionaries.push(
        new IngestDictionary(buffer, regions.refs[i]!, regions.owned[i]!, this.sizes.seriesMax),
      );
    }
  }

  /**
   * Decompresses and walks a remote write body (in one piece or several) of message version 1 or 2, and finds the sids
   * of the series it knows. `tenant` is the caller's number for the tenant. The view is valid until the next decode; rows listed
   * in `view.unresolved` are unknown.
   * Errors: InvalidError with the reason, and the offset in the decompressed message, when the body is malformed or too big;
   * the view is then empty.
   */
  decode(body: Uint8Array | readonly Uint8Array[], version: 1 | 2, tenant: number): RequestView {
    const { kernel, regions, view } = this;
    view.clear();
    const bodyLength = this.place(body);
    const declared = kernel.snappyDeclaredLength(regions.body, bodyLength);
    if (declared > this.sizes.decodedBytesMax) {
      throw new InvalidError(
        `cannot decompress write request: got a declared length of ${declared} bytes; want at most ${this.sizes.decodedBytesMax}`,
      );
    }
    const length = kernel.snappyDecode(regions.body, bodyLength, regions.decoded, this.sizes.decodedBytesMax);
    if (length < 0) throw new InvalidError(`cannot decompress write request: ${describeCode(length)}`);
    view.message(length);
    this.walk(length, version, tenant, true);
    // Guesses that no form proves: new series, most often.
    if (view.unresolvedCount > 0 && view.guessed > 0) this.walk(length, version, tenant, false);
    return view;
  }

  /** Walks the decompressed message and finds the sids of the series it knows. Errors: as decode. */
  private walk(length: number, version: 1 | 2, tenant: number, guess: boolean): void {
    const { kernel, regions, view } = this;
    const code =
      version === 1
        ? kernel.walkV1(regions.decoded, length, tenant, regions.forms, regions.request, guess ? 1 : 0)
        : kernel.walkV2(regions.decoded, length, regions.request);
    if (code < 0) {
      const place = isMalformed(code) ? ` (field at byte ${view.errorOffset})` : "";
      view.clear();
      throw new InvalidError(`cannot read write request: ${describeCode(code)}${place}`);
    }
    if (version === 2) kernel.predictRows(regions.forms, tenant, regions.request);
    if (view.unresolvedCount > 0) kernel.resolveRows(regions.forms, tenant, regions.request);
  }

  private place(body: Uint8Array | readonly Uint8Array[]): number {
    const parts = body instanceof Uint8Array ? [body] : body;
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > this.sizes.bodyBytesMax) {
      throw new InvalidError(
        `cannot read write request: got a body of ${length} bytes; want at most ${this.sizes.bodyBytesMax}`,
      );
    }
    let at = this.regions.body;
    for (const part of parts) {
      this.bytes.set(part, at);
      at += part.length;
    }
    return length;
  }

  /**
   * Binds the label bytes of a row of the view to a sid, so that later requests find it. False when there is no room left for
   * forms: the series then stays unresolved in every request until the caller sweeps or forgets.
   */
  remember(tenant: number, row: number, sid: number): boolean {
    if (!(sid >= 1 && sid <= this.sizes.seriesMax)) {
      throw new InternalError(`cannot remember series: got sid ${sid}; want 1 to ${this.sizes.seriesMax}`);
    }
    const at = this.view.labelAddress(row);
    const length = this.view.labelLength(row);
    let form = this.kernel.remember(this.regions.forms, tenant, at, length, sid);
    if (isTableFull(form) && this.growTable()) {
      form = this.kernel.remember(this.regions.forms, tenant, at, length, sid);
    }
    return !isFull(form);
  }

  /** Sid of a row's label bytes as remembered by now, or 0: a series may occur twice in one request. */
  lookUp(tenant: number, row: number): number {
    return this.kernel.lookUp(this.regions.forms, tenant, this.view.labelAddress(row), this.view.labelLength(row));
  }

  private growTable(): boolean {
    const bits = this.forms[FORMS.bits]! + 1;
    if (bits > this.regions.tableBitsMax) return false;
    const [first, second] = this.regions.tables;
    this.kernel.growTable(this.regions.forms, this.forms[FORMS.table] === first ? second : first, bits);
    return true;
  }

  /** Forms remembered, and their bytes out of formBytesMax. */
  get formCount(): number {
    return this.forms[FORMS.count]!;
  }

  get formBytes(): number {
    return this.forms[FORMS.used]!;
  }

  /** Whether another form of ordinary size finds room without a sweep. */
  get hasFormRoom(): boolean {
    const slots = 2 ** this.regions.tableBitsMax * TABLE_FILL_MAX;
    return this.formBytes + 4096 < this.sizes.formBytesMax && this.formCount < slots;
  }

  /** The number of the present span of time (modulo 256), written to `seen` with every sample. */
  set epoch(epoch: number) {
    this.forms[FORMS.epoch] = epoch & 255;
  }

  get epoch(): number {
    return this.forms[FORMS.epoch]!;
  }

  /**
   * Forgets the forms of every sid not seen for more than `ageMax` epochs, by the rule `(epoch − seen[sid]) & 255 > ageMax`; by the
   * same rule the caller may give those sids to other series. Takes about 50 ns a form. Returns how many forms are left.
   */
  sweep(ageMax: number): number {
    return this.kernel.sweepForms(this.regions.forms, ageMax);
  }

  /** Forgets all forms at once. */
  forgetAll(): void {
    const table = this.regions.tables[0];
    this.bytes.fill(0, table, table + 8 * 2 ** TABLE_BITS_MIN);
    this.forms[FORMS.table] = table;
    this.forms[FORMS.bits] = TABLE_BITS_MIN;
    this.forms[FORMS.used] = 8;
    this.forms[FORMS.count] = 0;
    this.forms[FORMS.last] = 0;
    this.forms[FORMS.newest] = 0;
  }

  /** A dictionary for a new connection, empty. Errors: InternalError when all are in use. */
  openDictionary(): IngestDictionary {
    const dictionary = this.freeDictionaries.pop();
    if (dictionary === undefined) {
      throw new InternalError(`cannot open dictionary: got ${this.sizes.dictionariesMax} in use; want one free`);
    }
    dictionary.reset();
    dictionary.ownAll();
    return dictionary;
  }

  /** Takes back a connection's dictionary; it must not be used any more. */
  closeDictionary(dictionary: IngestDictionary): void {
    dictionary.reset();
    this.freeDictionaries.push(dictionary);
  }

  /** SipHash-2-4-128 under a 16-byte key, by the kernel: for series ids, homes and lanes. */
  hash128(key: Uint8Array): Hash128 {
    const { scratch, scratchBytes } = this.regions;
    const keyCopy = key.slice();
    return (message) => {
      if (message.length + 32 > scratchBytes) return siphash128(keyCopy, message);
      this.bytes.set(keyCopy, scratch);
      this.bytes.set(message, scratch + 32);
      this.kernel.siphash128(scratch, scratch + 32, message.length, scratch + 16);
      return this.bytes.slice(scratch + 16, scratch + 32);
    };
  }
}
