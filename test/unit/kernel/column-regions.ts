// test/unit/kernel/column-regions.ts: canaries between the regions of a column kernel's memory.
import { COLUMN_WORDS as C, COLUMN_GUARD_BYTES, TABLE_COUNT } from "../../../libs/kernel/column-layout.ts";
import type { ColumnKernel } from "../../../libs/kernel/index.ts";

const PATTERN = 0xa5;

/** Fills the gaps between all regions; the function it returns throws when one was written. */
export function plantCanaries(kernel: ColumnKernel): () => void {
  const bytes = new Uint8Array(kernel.memory.buffer);
  const words = new Uint32Array(kernel.memory.buffer);
  const w = (index: number): number => words[index]!;
  const n = w(C.CAPACITY);
  const regions: [number, number][] = [
    [1024, 256],
    [w(C.HEADER), 128],
    [w(C.FREQUENCIES), TABLE_COUNT * 24 * 2],
    [w(C.DECODE_TABLES), TABLE_COUNT * 4096],
    [w(C.ENCODE_STATES), TABLE_COUNT * 2048],
    [w(C.ENCODE_SYMBOLS), TABLE_COUNT * 24 * 12],
    [w(C.COSTS), TABLE_COUNT * 24 * 4],
    [w(C.POWERS), 23 * 8],
    [w(C.HISTOGRAMS), 3 * 256 + 128],
    [w(C.VALUES), n * 8],
    ...[0, 1, 2, 3].map((i): [number, number] => [w(C.REFERENCES) + i * w(C.REFERENCE_STRIDE), n * 8]),
    [w(C.PAYLOAD), w(C.PAYLOAD_CAPACITY)],
    [w(C.INTEGERS), n * 8],
    [w(C.MULTIPLES), n * 8],
    [w(C.DIFFERENCES), n * 8],
    [w(C.RESIDUALS), n * 4],
    [w(C.CLASSES), n],
    [w(C.STREAM), w(C.STREAM_END) - w(C.STREAM)],
  ];
  const gaps = regions.map(([base, size], i): [number, number] => {
    const next = i + 1 < regions.length ? regions[i + 1]![0] : w(C.LAYOUT_END);
    if (next - (base + size) < COLUMN_GUARD_BYTES && i > 0) throw new Error(`region ${i} reaches into the next one`);
    return [base + size, next];
  });
  gaps.push([0, 1024], [w(C.LAYOUT_END), bytes.length]);
  for (const [from, to] of gaps) bytes.fill(PATTERN, from, to);
  return () => {
    for (const [from, to] of gaps) {
      for (let at = from; at < to; at++) {
        if (bytes[at] !== PATTERN) throw new Error(`byte ${at} of the gap ${from}–${to} was written`);
      }
    }
  };
}
