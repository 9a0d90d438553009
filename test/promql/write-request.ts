// test/promql/write-request.ts: what a script loads as a remote write 2.0 request: floats, stale markers, histograms, start times.
import { fieldsOf, histogramMessage } from "../unit/insert/histogram-message.ts";
import { compress, field, varint, varintField } from "../unit/insert/remote-write.ts";
import type { StoredSample, StoredSeries } from "./script-samples.ts";

const STALE = 0x7ff0000000000002n;

/** A compressed request of one series. */
export function writeRequest({ labels, samples }: StoredSeries): Buffer {
  const symbols = ["", ...labels].map((text) => field(4, text));
  const refs = field(1, Buffer.concat(labels.map((_, i) => varint(i + 1))));
  const parts = samples.map((sample) =>
    sample.histogram === undefined
      ? field(2, sampleMessage(sample))
      : field(3, histogramMessage(fieldsOf(sample.histogram, true, sample.timeMs, sample.startMs))),
  );
  return compress(Buffer.concat([...symbols, field(5, Buffer.concat([refs, ...parts]))]));
}

function sampleMessage({ value, stale, timeMs, startMs }: StoredSample): Buffer {
  const number = Buffer.alloc(9);
  number[0] = (1 << 3) | 1;
  if (stale) number.writeBigUInt64LE(STALE, 1);
  else number.writeDoubleLE(value, 1);
  return Buffer.concat([number, varintField(2, BigInt(timeMs)), varintField(3, BigInt(startMs))]);
}
