// test/unit/kernel/siphash.test.ts: SipHash-2-4-128 of kernel and twin against the reference's vectors (key 00…0f, message 00…n−1).
import { expect, test } from "vitest";
import { siphash128 } from "../../../libs/kernel/index.ts";
import { GuardedKernel } from "./guarded-kernel.ts";
import { seeded } from "./scrape-requests.ts";

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const guarded = new GuardedKernel();

test.each([
  [0, "a3817f04ba25a8e66df67214c7550293"],
  [1, "da87c1d86b99af44347659119b22fc45"],
  [2, "8177228da4a45dc7fca38bdef60affe4"],
  [7, "a1f1ebbed8dbc153c0b84aa61ff08239"],
  [8, "3b62a9ba6258f5610f83e264f31497b4"],
  [15, "5493e99933b0a8117e08ec0f97cfc3d9"],
  [63, "5150d1772f50834a503e069a973fbd7c"],
])("%i bytes", (length, want) => {
  const message = Uint8Array.from({ length }, (_, i) => i);
  expect(hex(siphash128(KEY, message))).toBe(want);
  expect(hex(guarded.siphash128(KEY, message))).toBe(want);
});

test("kernel and twin agree on random keys and messages of any length", () => {
  const random = seeded(11);
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(random() * 256));
  for (let length = 0; length < 300; length++) {
    const key = bytes(16);
    const message = bytes(length);
    expect(hex(guarded.siphash128(key, message))).toBe(hex(siphash128(key, message)));
  }
  guarded.check();
});
