// test/unit/wal/record.test.ts: frames, checksums that know their place, registrations.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RegistrationBody } from "../../../libs/wal/index.ts";
import { bodyIsIntact, Checksums, frameBytes, HEADER_BYTES, openFrame } from "../../../libs/wal/record.ts";
import { compressRegistrations, decompressRegistrations, Registration } from "../../../libs/wal/registration.ts";
import { addEntry } from "./wal-fixture.ts";

const DIRECTORY = new Uint8Array(16).fill(3);

function sealed(segment: number, offset: number): Uint8Array {
  const frame = new Uint8Array(frameBytes(11)).fill(255);
  openFrame(frame, 0, 2, 11);
  frame.set(new TextEncoder().encode("hello world"), HEADER_BYTES);
  new Checksums(DIRECTORY, segment).seal(frame, frame.length, offset);
  return frame;
}

describe("frames", () => {
  test("the bytes of a frame never change", () => {
    expect(Buffer.from(sealed(7, 512)).toString("hex")).toBe(
      "545702800b000000a3af14c70ea0687068656c6c6f20776f726c640000000000",
    );
  });

  test.each([
    ["its own place", DIRECTORY, 7, 512, true],
    ["another segment", DIRECTORY, 8, 512, false],
    ["another offset", DIRECTORY, 7, 520, false],
    ["an offset 4 GiB further", DIRECTORY, 7, 512 + 2 ** 32, false],
    ["another directory", new Uint8Array(16).fill(4), 7, 512, false],
  ])("validates in %s: %#", (_name, directory, segment, offset, valid) => {
    const header = new Checksums(directory, segment).openHeader(sealed(7, 512), 0, offset);
    expect(header !== undefined).toBe(valid);
  });

  test("every flipped bit is noticed, by the header or by the body", () => {
    const checksums = new Checksums(DIRECTORY, 7);
    for (let bit = 0; bit < frameBytes(11) * 8; bit++) {
      const frame = sealed(7, 512);
      frame[bit >> 3]! ^= 1 << (bit & 7);
      const header = checksums.openHeader(frame, 0, 512);
      const intact = header !== undefined && bodyIsIntact(header, frame.subarray(HEADER_BYTES));
      expect(intact).toBe(false);
    }
  });
});

describe("registrations", () => {
  test("come back as they were, compressed or not", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2 ** 28 - 1), fc.string({ maxLength: 300 })), { maxLength: 50 }),
        (entries) => {
          const body = new RegistrationBody();
          for (const [series, key] of entries) addEntry(body, series, key);
          const plain = decompressRegistrations(compressRegistrations(body.body()));
          for (const bytes of [body.body(), plain!]) {
            const entry = new Registration(bytes);
            for (const [series, key] of entries) {
              expect(entry.next()).toBe(true);
              expect(entry.series).toBe(series);
              expect(entry.shard).toBe(series % 64);
              expect(entry.home).toBe(BigInt(series) * 0x1_0000_0001n);
              expect([...entry.id]).toEqual(new Array(16).fill(series & 255));
              expect(new TextDecoder().decode(entry.key)).toBe(new TextDecoder().decode(new TextEncoder().encode(key)));
            }
            expect(entry.next()).toBe(false);
          }
        },
      ),
      { seed: 1, numRuns: 200 },
    );
  });

  test("cut short they are malformed, at every length", () => {
    const body = new RegistrationBody();
    addEntry(body, 1, "one");
    addEntry(body, 2, "two");
    const bytes = body.body();
    for (let length = 1; length < bytes.length; length++) {
      const entry = new Registration(bytes.slice(0, length));
      let more = entry.next();
      while (more === true) more = entry.next();
      expect(more).toBe(length === 39 ? false : "malformed");
    }
  });

  test.each([
    ["nothing", []],
    ["an endless length", [255, 255, 255, 255, 255, 255]],
    ["4 GiB in a few bytes", [255, 255, 255, 255, 15, 0]],
    ["a copy from nowhere", [4, 1, 9]],
  ])("what is no snappy block is refused: %s", (_name, bytes) => {
    expect(decompressRegistrations(Uint8Array.from(bytes))).toBeUndefined();
  });
});
