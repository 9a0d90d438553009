// services/select/read-frames.ts: raw samples → the frames of a streamed remote read.
// Format: a frame is varint(length), CRC-32C big-endian, a ChunkedReadResponse (proto/remote-read.proto) with one series or,
// when it is too long for a frame, a part of one. Frames of a query come in the order of labels.
import { equalLabels, type Labels, type RawColumn } from "../../libs/model/index.ts";
import { crc32c } from "./crc32c.ts";
import { HistogramChunkEncoder } from "./histogram-chunk.ts";
import { encodeLabels, ProtoWriter, varintBytes } from "./proto-writer.ts";
import { XorChunkEncoder } from "./xor-chunk.ts";

/** A frame's payload is at most this long, unless labels and one chunk are longer. Clients reckon with it. */
export const FRAME_BYTES_MAX = 1 << 20;
/** Types of chunks. */
const XOR = 1;
const FLOAT_HISTOGRAM = 3;

/** The frames of one query. */
export class ReadFrames {
  readonly #queryIndex: number;
  readonly #bytesMax: number;
  readonly #floats = new XorChunkEncoder();
  readonly #histograms = new HistogramChunkEncoder();
  /** Chunks of the series so far, as fields `chunks`. */
  readonly #chunks = new ProtoWriter(8192);
  /** What of a chunk stands before its data. */
  readonly #head = new ProtoWriter(64);
  #labels: Labels | undefined;
  #labelBytes: Buffer = Buffer.alloc(0);

  constructor(queryIndex: number, bytesMax = FRAME_BYTES_MAX) {
    this.#queryIndex = queryIndex;
    this.#bytesMax = bytesMax;
  }

  /** Takes a column of the current series, or the first one of the next. Yields the frames that this completes. */
  *add(column: RawColumn): Generator<Uint8Array> {
    const { labels, times, values, histograms } = column;
    if (this.#labels === undefined || !equalLabels(labels, this.#labels)) {
      yield* this.#flush();
      this.#labels = labels;
      this.#labelBytes = encodeLabels(labels);
    }
    for (let from = 0; from < times.length; ) {
      // A series may have both kinds: each chunk has one.
      const isFloat = histograms === undefined || histograms.layoutOf[from]! < 0;
      const to = isFloat
        ? this.#floats.encode(times, values, from, histograms && nextHistogram(histograms.layoutOf, from))
        : this.#histograms.encode(times, histograms, from);
      const { chunk } = isFloat ? this.#floats : this.#histograms;
      yield* this.#add(chunk, times[from]!, times[to - 1]!, isFloat ? XOR : FLOAT_HISTOGRAM);
      from = to;
    }
  }

  *#add(chunk: Buffer, minMs: number, maxMs: number, type: number): Generator<Uint8Array> {
    const head = this.#head;
    head.at = 0;
    head.int(1, minMs);
    head.int(2, maxMs);
    head.int(3, type);
    head.lead(4, chunk.length);
    const size = head.at + chunk.length;
    const field = 1 + varintBytes(size) + size;
    if (this.#chunks.at > 0 && this.#payloadBytes(field) > this.#bytesMax) yield* this.#flush();
    this.#chunks.lead(2, size);
    this.#chunks.raw(head.bytes.subarray(0, head.at));
    this.#chunks.raw(chunk);
  }

  /** Yields the last frame. */
  *finish(): Generator<Uint8Array> {
    yield* this.#flush();
    this.#labels = undefined;
  }

  /** A series without samples. */
  *addLabels(labels: Labels): Generator<Uint8Array> {
    this.#labelBytes = encodeLabels(labels);
    yield this.#frame();
  }

  /** Bytes of the payload when `more` come to the chunks. */
  #payloadBytes(more = 0): number {
    const series = this.#labelBytes.length + this.#chunks.at + more;
    return 1 + varintBytes(series) + series + (this.#queryIndex === 0 ? 0 : 1 + varintBytes(this.#queryIndex));
  }

  *#flush(): Generator<Uint8Array> {
    if (this.#chunks.at === 0) return;
    yield this.#frame();
    this.#chunks.at = 0;
  }

  #frame(): Uint8Array {
    const payload = this.#payloadBytes();
    const writer = new ProtoWriter(payload + 16);
    writer.varint(payload);
    const checksumAt = writer.at;
    writer.at += 4;
    writer.lead(1, this.#labelBytes.length + this.#chunks.at);
    writer.raw(this.#labelBytes);
    writer.raw(this.#chunks.bytes.subarray(0, this.#chunks.at));
    if (this.#queryIndex > 0) writer.int(2, this.#queryIndex);
    writer.bytes.writeUInt32BE(crc32c(writer.bytes, checksumAt + 4, writer.at), checksumAt);
    return writer.bytes.subarray(0, writer.at);
  }
}

/** Where the next histogram stands. */
function nextHistogram(layoutOf: Int32Array, from: number): number {
  let at = from;
  while (at < layoutOf.length && layoutOf[at]! < 0) at++;
  return at;
}
