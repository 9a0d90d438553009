// test/unit/kernel/canary.test.ts: the ingest kernel against its twins on random, odd and damaged input, between canaries.
// Every case is followed in memory by bytes that would continue it, so that a read beyond an input changes the result.
// FUZZ_RUNS sets the cases per test, FUZZ_SEED where they begin.
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { FORMS } from "../../../libs/kernel/ingest-layout.ts";
import { FormMap } from "../../../libs/kernel/twin/identify.ts";
import { snappyDeclaredLength, snappyDecode } from "../../../libs/kernel/twin/snappy.ts";
import { walkBoth } from "./compare-walks.ts";
import { GuardedKernel, SMALL } from "./guarded-kernel.ts";
import { below, damage, oddV1, oddV2 } from "./odd-messages.ts";
import { seeded } from "./scrape-requests.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 35_000);
const SEED = Number(process.env.FUZZ_SEED ?? 20_251_120);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Something that compresses: messages, runs, noise. */
function compressible(random: () => number): Uint8Array {
  const kind = below(random, 4);
  if (kind === 0) return oddV1(random, 0.2);
  if (kind === 1) return new Uint8Array(below(random, 600)).fill(below(random, 256));
  const period = 1 + below(random, 40);
  const noise = kind === 2 ? 0.02 : 1;
  const out = new Uint8Array(below(random, 900));
  for (let i = 0; i < out.length; i++) out[i] = i < period || random() < noise ? below(random, 256) : out[i - period]!;
  return out;
}

describe("kernel and twin agree, and no canary changes", () => {
  test(`snappy, ${RUNS} blocks`, () => {
    const random = seeded(SEED);
    const guarded = new GuardedKernel();
    let accepted = 0;
    for (let run = 0; run < RUNS; run++) {
      const whole = compressSync(compressible(random));
      const block = random() < 0.3 ? whole : damage(random, whole);
      const behind = whole.subarray(block.length);
      const declared = snappyDeclaredLength(block);
      const cap = declared >= 0 && declared <= SMALL.outputBytes && random() < 0.9 ? declared : below(random, 300);
      const got = guarded.snappyDecode(block, cap, behind);
      const want = snappyDecode(block, cap);
      const same = typeof got === "number" || typeof want === "number" ? got === want : hex(got) === hex(want);
      if (!same) throw new Error(`run ${run}: cap ${cap}, block ${hex(block)}: ${String(got)}, twin ${String(want)}`);
      if (guarded.snappyDeclaredLength(block, behind) !== declared)
        throw new Error(`run ${run}: length of ${hex(block)}`);
      if (typeof want !== "number") accepted++;
      guarded.check();
    }
    expect(accepted).toBeGreaterThan(RUNS / 5);
    expect(accepted).toBeLessThan(RUNS * 0.9);
  });

  for (const version of [1, 2] as const) {
    test(`walk and identify, version ${version}, ${RUNS} messages`, () => {
      const random = seeded(SEED + version);
      const guarded = new GuardedKernel(SMALL, SEED);
      let map = new FormMap();
      let accepted = 0;
      let known = 0;
      for (let run = 0; run < RUNS; run++) {
        const oddness = random() < 0.4 ? 0.02 : 0.2;
        const whole = version === 1 ? oddV1(random, oddness) : oddV2(random, oddness);
        const message = random() < 0.4 ? whole : damage(random, whole);
        const tenant = below(random, 2);
        const result = walkBoth(guarded, message, version, tenant, whole.subarray(message.length));
        if (result.difference !== "") throw new Error(`run ${run}: ${result.difference} of ${hex(message)}`);
        if (result.accepted) {
          accepted++;
          known += identifyBoth(guarded, map, tenant, run);
          if (!rememberSome(guarded, map, tenant, random)) {
            // Out of room: forget everything, as an insert would.
            map = new FormMap();
            guarded.bytes.fill(0, guarded.tables[0], guarded.tables[0] + (8 << SMALL.tableBits));
            guarded.forms[FORMS.used] = 8;
            guarded.forms[FORMS.count] = 0;
            guarded.forms[FORMS.last] = 0;
            guarded.forms[FORMS.newest] = 0;
          }
        }
        guarded.check();
      }
      expect(accepted).toBeGreaterThan(RUNS / 4);
      expect(accepted).toBeLessThan(RUNS * 0.9);
      expect(known).toBeGreaterThan(RUNS / 4);
    });
  }
});

/** Checks every row's sid against the map. Returns how many rows were known. */
function identifyBoth(guarded: GuardedKernel, map: FormMap, tenant: number, run: number): number {
  guarded.resolve(tenant);
  const unknown: number[] = [];
  const count = guarded.word("seriesCount");
  for (let i = 0; i < count; i++) {
    const { labels, sid } = guarded.row(i);
    if (sid !== map.lookUp(tenant, labels)) throw new Error(`run ${run}: row ${i} got sid ${sid} for ${hex(labels)}`);
    if (sid === 0) unknown.push(i);
  }
  if (String(guarded.unresolved()) !== String(unknown))
    throw new Error(`run ${run}: unresolved ${guarded.unresolved()}`);
  return count - unknown.length;
}

/** Remembers most of the unknown rows. False when the kernel has no room. */
function rememberSome(guarded: GuardedKernel, map: FormMap, tenant: number, random: () => number): boolean {
  for (const row of guarded.unresolved()) {
    if (random() < 0.3) continue;
    const sid = 1 + below(random, SMALL.sids - 1);
    if (guarded.remember(row, tenant, sid) < 0) return false;
    map.remember(tenant, guarded.row(row).labels, sid);
  }
  return true;
}
