// libs/kernel/assembly/points.ts: a column of values as the points of a JSON answer, `,[1435781430.781,"1.5"]` after one another.
// HOT: bench test/bench/points.bench.ts, twin: the plain rendering in test/unit/kernel/points.test.ts. Wrapper and layout:
// libs/kernel/points.ts. What stands before each value is made once per times and copied per series.
import { writeTimestamp, writeValue } from "./lib/number-text";

/** What stands before a value takes so many bytes, the last of which holds its length. */
const HEAD_BYTES: usize = 32;
/** Where `render` leaves the step it stopped at, and where its text ends. */
const STEP: usize = 16;
const END: usize = 20;

/** Makes what stands before each value: `,[`, the time, `,"`. */
export function renderHeads(times: usize, count: u32, heads: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    store<u16>(heads, 0x5b2c);
    const end = writeTimestamp(heads + 2, load<f64>(times + (<usize>i << 3)));
    store<u16>(end, 0x222c);
    store<u8>(heads, <u8>(end + 2 - heads), HEAD_BYTES - 1);
    heads += HEAD_BYTES;
  }
}

/**
 * Renders the values [step, count), those whose byte in `present` is not 0 where `present` is not 0 itself. Stops behind the head of a
 * value that is left to the twin. A point takes at most HEAD_BYTES + 32 + 2 bytes.
 */
export function render(heads: usize, values: usize, present: usize, step: u32, count: u32, out: usize): void {
  for (; step < count; step++) {
    if (present != 0 && load<u8>(present + step) == 0) continue;
    const head = heads + <usize>step * HEAD_BYTES;
    v128.store(out, v128.load(head));
    v128.store(out, v128.load(head, 16), 16);
    out += load<u8>(head, HEAD_BYTES - 1);
    const end = writeValue(out, load<f64>(values + (<usize>step << 3)));
    if (end == 0) break;
    store<u16>(end, 0x5d22);
    out = end + 2;
  }
  store<u32>(STEP, step);
  store<u32>(END, <u32>out);
}
