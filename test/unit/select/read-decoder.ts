// test/unit/select/read-decoder.ts: remote read as a client does it: requests encoded, answers decoded and checked frame by frame.
import { loadSync } from "@grpc/proto-loader";
import { compressSync, uncompressSync } from "snappy";
import { crc32c } from "../../../services/select/crc32c.ts";
import { ROOT } from "../../needs.ts";
import { decodeHistogramChunk } from "./histogram-decoder.ts";
import { decodeXorChunk } from "./xor-decoder.ts";

interface Codec<T> {
  serialize(message: object): Buffer;
  deserialize(bytes: Buffer): T;
}
interface LabelMessage {
  readonly name: string;
  readonly value: string;
}
interface ReadResponse {
  readonly results: readonly {
    readonly timeseries: readonly {
      readonly labels: readonly LabelMessage[];
      readonly samples: readonly { readonly value: number; readonly timestamp: number }[];
    }[];
  }[];
}
interface ChunkedReadResponse {
  readonly chunkedSeries: readonly {
    readonly labels: readonly LabelMessage[];
    readonly chunks: readonly { minTimeMs: number; maxTimeMs: number; type: number; data: Buffer }[];
  }[];
  readonly queryIndex: number;
}

const definition = loadSync("remote-read.proto", {
  ...{ includeDirs: [`${ROOT}proto`], defaults: true, arrays: true, longs: Number },
});
const codecOf = <T>(name: string): Codec<T> => definition[`prometheus.${name}`] as unknown as Codec<T>;
const request = codecOf<unknown>("ReadRequest");
const response = codecOf<ReadResponse>("ReadResponse");
const chunked = codecOf<ChunkedReadResponse>("ChunkedReadResponse");

export interface AskedQuery {
  readonly startTimestampMs: number;
  readonly endTimestampMs: number;
  readonly matchers: readonly { readonly type: number; readonly name: string; readonly value: string }[];
  readonly hints?: object;
}

/** A body for POST /api/v1/read. */
export function readBody(queries: readonly AskedQuery[], acceptedResponseTypes: readonly number[] = []): Buffer {
  return compressSync(request.serialize({ queries, acceptedResponseTypes }));
}

/** A series of an answer: its query, its labels, and per sample time and bits of the value. */
export interface ReadSeries {
  readonly query: number;
  readonly labels: string;
  readonly samples: string[];
}

const text = (labels: readonly LabelMessage[]): string => labels.map(({ name, value }) => `${name}=${value}`).join(",");
const sample = (time: number, bits: bigint): string => `${time}:${bits.toString(16)}`;

export function decodeSamples(body: Buffer): ReadSeries[] {
  const { results } = response.deserialize(uncompressSync(body, { asBuffer: true }) as Buffer);
  return results.flatMap(({ timeseries }, query) =>
    timeseries.map(({ labels, samples }) => ({
      query,
      labels: text(labels),
      samples: samples.map((s) => sample(s.timestamp, new BigUint64Array(Float64Array.of(s.value).buffer)[0]!)),
    })),
  );
}

/** The frames of a streamed answer. Fails on a wrong checksum, a frame beyond the limit, and one that does not end. */
export function decodeFrames(body: Buffer, frameBytesMax = 1 << 20): ReadSeries[] {
  const out: ReadSeries[] = [];
  for (let at = 0; at < body.length; ) {
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = body[at++]!;
      length += (byte & 127) * scale;
      if (byte < 128) break;
    }
    const payload = body.subarray(at + 4, at + 4 + length);
    if (length > frameBytesMax || payload.length !== length) throw new Error(`a frame of ${length} bytes`);
    if (body.readUInt32BE(at) !== crc32c(payload)) throw new Error("a wrong checksum");
    at += 4 + length;
    const { chunkedSeries, queryIndex } = chunked.deserialize(payload);
    if (chunkedSeries.length !== 1) throw new Error(`${chunkedSeries.length} series in a frame`);
    const { labels, chunks } = chunkedSeries[0]!;
    const samples = chunks.flatMap(({ minTimeMs, maxTimeMs, type, data }) => {
      if (type === 3) {
        return decodeHistogramChunk(data).map(({ time, hint, numbers }) => `${time} h${hint} ${numbers.join(" ")}`);
      }
      const { times, values } = decodeXorChunk(data);
      if (type !== 1 || times[0] !== minTimeMs || times.at(-1) !== maxTimeMs) throw new Error("a wrong chunk");
      return times.map((time, i) => sample(time, values[i]!));
    });
    const last = out.at(-1);
    if (last?.query === queryIndex && last.labels === text(labels)) last.samples.push(...samples);
    else out.push({ query: queryIndex, labels: text(labels), samples });
  }
  return out;
}
