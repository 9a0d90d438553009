// test/unit/kernel/column-canary.test.ts: hostile headers and payloads: flipped bits, cuts, lies and noise. The column kernel must answer what
// its twin (libs/kernel/twin/column.ts) answers, in time, and never write outside its regions. Fixed seeds; FUZZ_RUNS sets the number.
import { expect, test } from "vitest";
import { COLUMN_HEADER_BYTES, FIELD } from "../../../libs/kernel/column-layout.ts";
import { ColumnHeader, ColumnKernel } from "../../../libs/kernel/index.ts";
import { decodeColumn } from "../../../libs/kernel/twin/column.ts";
import { bitsOfValues, columnOf, drawColumn } from "./column-courses.ts";
import { plantCanaries } from "./column-regions.ts";
import { bitsOf } from "./head-batches.ts";
import { Draw } from "./head-programs.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 4000);
const kernel = new ColumnKernel(600);
const check = plantCanaries(kernel);

function decode(header: ColumnHeader, payload: Uint8Array, reference?: readonly bigint[]): bigint[] | string {
  const out = new Float64Array(header.count);
  const fault = kernel.decode(header, payload, out, reference && columnOf(reference));
  return fault ?? bitsOfValues(out);
}

test("hostile headers and payloads: an answer like the twin's, and no canary changes", () => {
  const draw = new Draw(13);
  const outcomes = new Map<string, number>();
  for (let run = 0; run < RUNS; run++) {
    const column = drawColumn(draw, 60);
    const reference = column.map(() => bitsOf(draw.below(100)));
    const offers = draw.chance(0.3) ? [columnOf(reference), columnOf(column)] : [];
    const stored = kernel.encode(columnOf(column), offers);
    const header = new ColumnHeader(new Uint8Array(COLUMN_HEADER_BYTES));
    header.bytes.set(stored.header.bytes);
    let payload = stored.payload.slice();
    for (let n = draw.below(4); n > 0; n--) {
      if (draw.chance(0.4)) {
        // The statistics are believed: only what decoding reads is worth spoiling.
        header.bytes[draw.below(FIELD.MIN)]! ^= 1 << draw.below(8);
      } else if (draw.chance(0.5) && payload.length > 0) payload[draw.below(payload.length)]! ^= 1 << draw.below(8);
      else if (draw.chance(0.5)) payload = payload.slice(0, draw.below(payload.length + 1));
      else payload = Uint8Array.from([...payload, ...Array.from({ length: draw.below(9) }, () => draw.below(256))]);
    }
    if (draw.chance(0.7)) new DataView(header.bytes.buffer).setUint32(FIELD.PAYLOAD_BYTES, payload.length, true);
    if (header.count > 600) {
      expect(kernel.decode(header, payload, new Float64Array(600))).toBe("header");
      continue;
    }
    const offered = header.hasReference || draw.chance(0.02) ? reference.concat(Array(600).fill(0n)) : undefined;
    const got = decode(header, payload, offered?.slice(0, header.count));
    const want = decodeColumn(header.bytes, payload, offered?.slice(0, header.count));
    if (got.toString() !== want.toString()) throw new Error(`run ${run}: got ${got}; want ${want}`);
    const outcome = typeof got === "string" ? got : "values";
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (run % 50 === 0) check();
  }
  check();
  expect([...outcomes.keys()].sort()).toEqual(["exceptions", "header", "length", "stream", "values"]);
});

test("random payloads, long ones too", () => {
  const draw = new Draw(17);
  const header = new ColumnHeader(new Uint8Array(COLUMN_HEADER_BYTES));
  const view = new DataView(header.bytes.buffer);
  for (let run = 0; run < RUNS; run++) {
    for (let i = 0; i < FIELD.MIN; i++) header.bytes[i] = draw.below(256);
    const length = draw.below(draw.pick([4, 100, 3000]));
    view.setUint32(FIELD.COUNT, 1 + draw.below(600), true);
    view.setUint32(FIELD.PAYLOAD_BYTES, length, true);
    header.bytes[FIELD.KIND] = 2 + draw.below(2);
    header.bytes[FIELD.FLAGS] = draw.below(16) & 14;
    header.bytes[FIELD.EXPONENT]! %= 23;
    header.bytes[FIELD.PREDICTOR]! %= 5;
    header.bytes[FIELD.SHIFT]! %= draw.pick([4, 64]);
    for (const at of [FIELD.TABLE_ZERO, FIELD.TABLE_OTHER, FIELD.TABLE_RESIDUAL]) header.bytes[at]! %= 16;
    const payload = Uint8Array.from({ length }, () => (draw.chance(0.5) ? 0 : draw.below(256)));
    const got = decode(header, payload);
    if (run % 5 === 0) expect(got).toEqual(decodeColumn(header.bytes, payload));
    if (run % 50 === 0) check();
  }
  check();
});
