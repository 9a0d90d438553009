// test/unit/model/tenant.test.ts: which tenant names pass.
import fc from "fast-check";
import { expect, test } from "vitest";
import { InvalidError, parseTenant } from "../../../libs/model/index.ts";

test.each(["default", "a", "0", "-", "_", "...", ".a", "A-b_c.9", "x".repeat(64), "__proto__", "constructor"])(
  "%s passes",
  (name) => {
    expect(parseTenant(name)).toBe(name);
  },
);

test.each(["", ".", "..", "a b", "a/b", "a\\b", "a\n", "\na", "a\0", "ü", "a%2e", "a:b", "a|b", "x".repeat(65), "😀"])(
  "%j is refused",
  (name) => {
    expect(() => parseTenant(name)).toThrow(InvalidError);
    expect(() => parseTenant(name)).toThrow("want 1 to 64 of A-Z a-z 0-9 . _ -");
  },
);

test("a refusal shows at most a line of a hostile name", () => {
  expect(() => parseTenant("\n".repeat(100_000))).toThrow(InvalidError);
  try {
    parseTenant("\n".repeat(100_000));
  } catch (error) {
    expect((error as Error).message.length).toBeLessThan(300);
    expect((error as Error).message).not.toContain("\n");
  }
});

test("what passes is one safe path segment", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 70 }), (name) => {
      try {
        parseTenant(name);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidError);
        return;
      }
      expect(new URL(`http://h/${name}/x`).pathname).toBe(`/${name}/x`);
    }),
    { seed: 20_240_604, numRuns: 20_000 },
  );
});
