// test/unit/select/crc32c.test.ts: crc32c against the values of RFC 3720 and against its twin, which goes bit by bit.
import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c } from "../../../services/select/crc32c.ts";

function twin(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}

test.each([
  [new Uint8Array(0), 0],
  [Buffer.from("123456789"), 0xe3069283],
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(255), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
])("a published value", (bytes, want) => {
  expect(crc32c(bytes)).toBe(want);
  expect(twin(bytes)).toBe(want);
});

test("any part of any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.nat(9), fc.nat(9), (bytes, from, less) => {
      const to = Math.max(from, bytes.length - less);
      expect(crc32c(bytes, from, to)).toBe(twin(bytes.slice(from, to)));
    }),
    { seed: 1, numRuns: 500 },
  );
});
