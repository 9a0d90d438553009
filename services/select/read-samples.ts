// services/select/read-samples.ts: raw samples → the answer SAMPLES of a remote read: one protobuf message, which has to be whole
// before it can be compressed. Contract: proto/remote-read.proto.
// Invariant: what is held never passes the limit of bytes.
import { equalLabels, histogramAt, type Labels, LimitError, type RawColumn } from "../../libs/model/index.ts";
import { encodeHistogramSample } from "./histogram-proto.ts";
import { encodeLabels, ProtoWriter, varintBytes } from "./proto-writer.ts";

/** One query's result. */
class Result {
  readonly parts: Buffer[] = [];
  bytes = 0;
}

/** Collects the results of a request, query after query. */
export class SampledAnswer {
  readonly #bytesMax: number;
  readonly #results: Result[] = [];
  readonly #series = new ProtoWriter(64 * 1024);
  #labels: Labels | undefined;
  #total = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Begins the result of the next query. */
  nextQuery(): void {
    this.#closeSeries();
    this.#results.push(new Result());
  }

  /** Takes a column of the current series, or the first one of the next. Errors: LimitError. */
  add({ labels, times, values, histograms }: RawColumn): void {
    if (this.#labels === undefined || !equalLabels(labels, this.#labels)) this.#openSeries(labels);
    const writer = this.#series;
    const bits = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let i = 0; i < times.length; i++) {
      const histogram = histograms && histogramAt(histograms, i);
      if (histogram !== undefined) {
        const message = encodeHistogramSample(times[i]!, histogram);
        writer.lead(4, message.length);
        writer.raw(message);
      } else {
        writeSample(writer, times[i]!, bits, 8 * i);
      }
    }
    this.#check(writer.at);
  }

  /** A series without samples. */
  addLabels(labels: Labels): void {
    this.#openSeries(labels);
  }

  /** The whole message. */
  finish(): Buffer {
    this.#closeSeries();
    const writer = new ProtoWriter(this.#total + 16 * this.#results.length + 16);
    for (const { parts, bytes } of this.#results) {
      writer.lead(1, bytes);
      for (const part of parts) writer.raw(part);
      parts.length = 0;
    }
    return writer.bytes.subarray(0, writer.at);
  }

  #openSeries(labels: Labels): void {
    this.#closeSeries();
    this.#labels = labels;
    this.#series.raw(encodeLabels(labels));
  }

  #closeSeries(): void {
    if (this.#labels === undefined) return;
    const body = this.#series.take();
    const result = this.#results.at(-1)!;
    const head = new ProtoWriter(16);
    head.lead(1, body.length);
    result.parts.push(head.take(), body);
    const bytes = 1 + varintBytes(body.length) + body.length;
    result.bytes += bytes;
    this.#total += bytes;
    this.#labels = undefined;
    this.#check(0);
  }

  #check(more: number): void {
    if (this.#total + more <= this.#bytesMax) return;
    throw new LimitError(
      "read-bytes-max",
      `cannot answer with samples: got more than ${this.#bytesMax} bytes; want a narrower request or accepted_response_types STREAMED_XOR_CHUNKS (--read-bytes-max)`,
    );
  }
}

/** `samples = 2`: value = 1, timestamp = 2. The value's bits are copied, so that stale markers stay. */
function writeSample(writer: ProtoWriter, timeMs: number, bits: Uint8Array, at: number): void {
  writer.reserve(32);
  const { bytes } = writer;
  const lengthAt = writer.at + 1;
  bytes[writer.at] = 0x12;
  bytes[writer.at + 2] = 0x09;
  for (let i = 0; i < 8; i++) bytes[writer.at + 3 + i] = bits[at + i]!;
  bytes[writer.at + 11] = 0x10;
  writer.at += 12;
  writer.varint(timeMs);
  writer.bytes[lengthAt] = writer.at - lengthAt - 1;
}
