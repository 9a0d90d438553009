// test/unit/block/payload-buffers.test.ts: a buffer has room for what it is taken for, is nobody else's until it is given back, and no more lie ready than allowed.
import { expect, test } from "vitest";
import { giveBuffer, takeBuffer } from "../../../libs/block/payload-buffers.ts";

test("buffers have room, little more than twice of it, and come back", () => {
  for (const bytes of [0, 1, 4095, 4096, 4097, 65_536, 65_537, 1_000_000]) {
    const buffer = takeBuffer(bytes);
    expect(buffer.length).toBeGreaterThanOrEqual(bytes);
    expect(buffer.length).toBeLessThanOrEqual(Math.max(4096, 2 * bytes));
    const other = takeBuffer(bytes);
    expect(other).not.toBe(buffer);
    giveBuffer(buffer);
    expect(takeBuffer(bytes)).toBe(buffer);
  }
});

test("what lies ready is bounded", () => {
  const MIB = 1 << 20;
  const taken = Array.from({ length: 40 }, () => takeBuffer(MIB));
  for (const buffer of taken) giveBuffer(buffer);
  const again = new Set(Array.from({ length: 40 }, () => takeBuffer(MIB)));
  expect(taken.filter((buffer) => again.has(buffer)).length).toBeLessThanOrEqual(16);
});
