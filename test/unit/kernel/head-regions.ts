// test/unit/kernel/head-regions.ts: canaries between the regions of a head's memory.

import { CONTROL_WORDS as C, GUARD_BYTES, READ_SLACK_BYTES } from "../../../libs/kernel/head-layout.ts";
import type { HeadKernel } from "../../../libs/kernel/index.ts";

const PATTERN = 0xa5;

/** The bytes that no kernel may write, as [from, to): between regions, and behind the arena. */
export function gapsOf(kernel: HeadKernel): [number, number][] {
  const words = new Uint32Array(kernel.memory.buffer);
  const w = (index: number): number => words[index]!;
  const spill = w(C.SPILL_CAPACITY);
  const read = w(C.READ_CAPACITY) * 8 + READ_SLACK_BYTES;
  const regions: [number, number][] = [
    [1024, 1024],
    [w(C.HOT_BASE), w(C.SERIES_CAPACITY) * 16],
    [w(C.SERIES_BASE), w(C.SERIES_CAPACITY) * 32],
    [w(C.GROUP_BASE), w(C.GROUP_CAPACITY) * 64],
    [w(C.BATCH_BASE), w(C.BATCH_CAPACITY)],
    [w(C.OUT_BASE), w(C.OUT_CAPACITY)],
    [w(C.SPILL_SERIES), spill * 4],
    [w(C.SPILL_TIMES), spill * 8],
    [w(C.SPILL_VALUES), spill * 8],
    [w(C.VALUES_BASE), spill * 8],
    [w(C.READ_TIMES) - READ_SLACK_BYTES, READ_SLACK_BYTES + read],
    [w(C.READ_VALUES) - READ_SLACK_BYTES, READ_SLACK_BYTES + read],
    [w(C.STACK_BASE), 4096 * 4],
    [w(C.FRAME_BASE), 256],
    [w(C.CHUNK_BASE), 160 * 8],
    [w(C.ARENA_BASE), w(C.ARENA_END) - w(C.ARENA_BASE)],
  ];
  const gaps: [number, number][] = [[0, 1024]];
  regions.forEach(([base, size], i) => {
    const next = i + 1 < regions.length ? regions[i + 1]![0] : w(C.MEMORY_BYTES);
    if (next - (base + size) < GUARD_BYTES) throw new Error(`region ${i} reaches into the next one`);
    gaps.push([base + size, next]);
  });
  return gaps;
}

/** Fills all gaps; the function it returns throws when one was written. */
export function plantCanaries(kernel: HeadKernel): () => void {
  const bytes = new Uint8Array(kernel.memory.buffer);
  const gaps = gapsOf(kernel);
  for (const [from, to] of gaps) bytes.fill(PATTERN, from, to);
  return () => {
    for (const [from, to] of gaps) {
      for (let at = from; at < to; at++) {
        if (bytes[at] !== PATTERN) throw new Error(`byte ${at} of the gap ${from}–${to} was written`);
      }
    }
  };
}
