// test/unit/kernel/identify.test.ts: label bytes → sid, by predictor and batch passes, against the twin's Map.
import { describe, expect, test } from "vitest";
import { HASH_KEY_BYTES, IngestKernel } from "../../../libs/kernel/index.ts";
import { FORMS } from "../../../libs/kernel/ingest-layout.ts";
import { FormMap } from "../../../libs/kernel/twin/identify.ts";
import { GuardedKernel, SMALL } from "./guarded-kernel.ts";
import { below } from "./odd-messages.ts";
import { makeRequests, type ScrapeRequest, seeded } from "./scrape-requests.ts";
import { encodeLabels, encodeV1, type PlainSeries } from "./write-messages.ts";

const MS = 1_750_000_000_000;
const sizes = {
  ...SMALL,
  series: 512,
  samples: 1024,
  inputBytes: 1 << 17,
  arenaBytes: 1 << 19,
  tableBits: 13,
  sids: 4096,
};

const series = (name: string, length = 0): PlainSeries => ({
  labels: [
    ["__name__", name],
    ["filler", "f".repeat(length)],
  ],
  samples: [[MS, 1]],
});

/** Walks, compares every sid with the map, remembers what is unknown. Returns how many were unknown. */
function send(guarded: GuardedKernel, map: FormMap, wanted: readonly PlainSeries[], tenant = 1, learn = true): number {
  expect(guarded.walk(encodeV1(wanted), 1, tenant)).toBe(0);
  guarded.resolve(tenant);
  const unknown = guarded.unresolved();
  const unknownSet = new Set(unknown);
  for (let i = 0; i < wanted.length; i++) {
    const { labels, sid } = guarded.row(i);
    const want = map.identify(tenant, encodeLabels(wanted[i]!.labels));
    if (Buffer.compare(labels, encodeLabels(wanted[i]!.labels)) !== 0) throw new Error(`labels of row ${i}`);
    if (sid !== want) throw new Error(`row ${i}: sid ${sid}, twin ${want}`);
    if (unknownSet.has(i) !== (sid === 0)) throw new Error(`row ${i} with sid ${sid}: listed ${unknownSet.has(i)}`);
  }
  if (learn) {
    for (const i of unknown) {
      const sid = guarded.forms[FORMS.count]! + 1;
      expect(guarded.remember(i, tenant, sid)).toBeGreaterThan(0);
      map.remember(tenant, guarded.row(i).labels, sid);
    }
  }
  guarded.check();
  return unknown.length;
}

test("every series is found again, in whatever order, one tenant apart from the other", () => {
  const guarded = new GuardedKernel(sizes);
  const map = new FormMap();
  const random = seeded(4);
  // Lengths on both sides of every step of the comparison and of the hash.
  const all = Array.from({ length: 400 }, (_, i) => series(`m${i}`, i));
  expect(send(guarded, map, all)).toBe(400);
  expect(send(guarded, map, all)).toBe(0);
  expect(send(guarded, map, all, 2, false)).toBe(400);
  expect(send(guarded, map, [...all].reverse())).toBe(0);
  for (let round = 0; round < 30; round++) {
    const some = all.filter(() => random() < 0.7);
    for (let swaps = below(random, round * 10); swaps > 0; swaps--) {
      const [i, j] = [below(random, some.length), below(random, some.length)];
      [some[i], some[j]] = [some[j]!, some[i]!];
    }
    expect(send(guarded, map, some)).toBe(0);
    expect(send(guarded, map, [...some.slice(0, 100), series(`new${round}`, round), ...some.slice(100)])).toBe(1);
  }
});

test("labels that differ in one byte, or by one label more, are other series", () => {
  const guarded = new GuardedKernel(sizes);
  const map = new FormMap();
  const base = Array.from({ length: 100 }, (_, i) => series(`m${i}`, 2 * i));
  expect(send(guarded, map, base)).toBe(100);
  for (let i = 0; i < 100; i++) {
    const last = [...base[i]!.labels.slice(0, 1), ["filler", `${"f".repeat(Math.max(0, 2 * i - 1))}g`] as const];
    const more = [...base[i]!.labels, ["zz", ""] as const];
    const samples = base[i]!.samples;
    const changed = [...base.slice(0, i), { labels: last, samples }, { labels: more, samples }, ...base.slice(i + 1)];
    expect(send(guarded, map, changed, 1, false)).toBe(2);
  }
});

test("a hash alone is not believed: every byte of a form is compared", () => {
  const all = Array.from({ length: 200 }, (_, i) => series(`m${i}`, i));
  for (const order of [all, [...all].reverse()]) {
    const guarded = new GuardedKernel(sizes);
    send(guarded, new FormMap(), all);
    // The remembered bytes change under their tags, one byte in each, from the first to the last.
    const arena = guarded.forms[FORMS.arena]!;
    for (let at = arena + 8; at < arena + guarded.forms[FORMS.used]!; ) {
      const length = new Uint32Array(guarded.bytes.buffer, at + 12, 1)[0]!;
      const changed = at + 16 + ((at >> 3) % length);
      guarded.bytes[changed] = guarded.bytes[changed]! ^ 1;
      at += 16 + Math.ceil(length / 8) * 8;
    }
    expect(send(guarded, new FormMap(), order, 1, false)).toBe(200);
  }
});

test("forms survive a growing table; the new table may be dirty", () => {
  const guarded = new GuardedKernel(sizes);
  const map = new FormMap();
  const all = Array.from({ length: 39 }, (_, i) => series(`m${i}`, i));
  guarded.forms[FORMS.bits] = 6;
  guarded.bytes.fill(7, guarded.tables[1], guarded.tables[1] + (8 << sizes.tableBits));
  send(guarded, map, all);
  for (const bits of [7, 8, 11, 13]) {
    guarded.growTable(bits);
    expect(
      send(
        guarded,
        map,
        [...all].sort(() => -1),
      ),
    ).toBe(0);
    expect(send(guarded, map, [series(`after ${bits}`)])).toBe(1);
  }
});

test("a full table and a full arena say so, and what is in them stays", () => {
  const guarded = new GuardedKernel({ ...sizes, arenaBytes: 8 + 3 * 64 });
  const map = new FormMap();
  guarded.forms[FORMS.bits] = 2;
  // Each form takes 16 bytes and 29 to 36 of labels.
  const all = [series("a", 10), series("b", 10), series("c", 10), series("d", 10)];
  send(guarded, map, all.slice(0, 2));
  expect(send(guarded, map, all.slice(0, 3), 1, false)).toBe(1);
  expect(guarded.remember(2, 1, 9)).toBe(-49);
  guarded.growTable(5);
  expect(guarded.remember(2, 1, 9)).toBeGreaterThan(0);
  map.remember(1, encodeLabels(all[2]!.labels), 9);
  expect(send(guarded, map, all, 1, false)).toBe(1);
  expect(guarded.remember(3, 1, 10)).toBe(-48);
  expect(send(guarded, map, all, 1, false)).toBe(1);
});

test("a sweep forgets what was not seen for a while, and moves the rest", () => {
  const guarded = new GuardedKernel(sizes);
  const map = new FormMap();
  const all = Array.from({ length: 300 }, (_, i) => series(`m${i}`, i));
  send(guarded, map, all);
  for (let epoch = 1; epoch < 600; epoch += 37) {
    guarded.forms[FORMS.epoch] = epoch & 255;
    map.epoch = epoch & 255;
    send(
      guarded,
      map,
      all.filter((_, i) => i % 5 !== epoch % 5),
    );
    send(guarded, map, all.filter((_, i) => i % 7 === 0).reverse());
    const ageMax = epoch % 3 === 0 ? 60 : 0;
    expect(guarded.sweep(ageMax)).toBe(map.sweep(ageMax));
    guarded.check();
    send(guarded, map, all, 1, false);
  }
  map.epoch = guarded.forms[FORMS.epoch] = 255;
  send(guarded, map, all);
});

describe("the whole kernel", () => {
  let labelBytes = 0;
  const run = (
    kernel: IngestKernel,
    requests: readonly ScrapeRequest[],
    version: 1 | 2,
    nextSid: { value: number },
  ): number => {
    let unknown = 0;
    for (const request of requests) {
      const view = kernel.decode(request.body, version, 5);
      unknown += view.unresolvedCount;
      for (let i = 0; i < view.unresolvedCount; i++) {
        const row = view.unresolved[i]!;
        const sid = nextSid.value++;
        if (!kernel.remember(5, row, sid)) throw new Error(`sid ${sid} finds no room`);
        view.setSid(row, sid);
        if (kernel.lookUp(5, row) !== sid) throw new Error(`sid ${sid} is not found again`);
        labelBytes += view.labelLength(row);
      }
    }
    return unknown;
  };

  test("a new order, and the other version, meet no unknown series", () => {
    const kernel = new IngestKernel({ hashKey: new Uint8Array(HASH_KEY_BYTES).fill(3), formBytesMax: 1 << 24 });
    const options = { targets: 12, scrapes: 1, samplesPerRequest: 500, version: 1 } as const;
    const nextSid = { value: 1 };
    const first = run(kernel, makeRequests(options), 1, nextSid);
    expect(first).toBe(kernel.formCount);
    expect(first).toBeGreaterThan(12 * 490);
    expect(run(kernel, makeRequests({ ...options, shuffled: true }), 1, nextSid)).toBe(0);
    expect(run(kernel, makeRequests({ ...options, version: 2 }), 2, nextSid)).toBe(0);
    expect(run(kernel, makeRequests(options), 1, nextSid)).toBe(0);
    // What a form takes beside its label bytes: a header of 16, and up to 7 to the next multiple of 8.
    expect(kernel.formBytes - labelBytes).toBeLessThan(24 * kernel.formCount);
    kernel.forgetAll();
    expect(run(kernel, makeRequests({ ...options, shuffled: true, version: 2 }), 2, nextSid)).toBe(first);
  });

  test("a full store of forms is said, not thrown", () => {
    const kernel = new IngestKernel({ hashKey: new Uint8Array(HASH_KEY_BYTES), formBytesMax: 4096, seriesMax: 5000 });
    const view = kernel.decode(
      makeRequests({ targets: 1, scrapes: 1, samplesPerRequest: 100, version: 1 })[0]!.body,
      1,
      5,
    );
    const remembered = Array.from({ length: 100 }, (_, row) => kernel.remember(5, row, row + 1)).filter(
      (fine) => fine,
    ).length;
    expect(remembered).toBeGreaterThan(10);
    expect(remembered).toBeLessThan(60);
    expect(kernel.hasFormRoom).toBe(false);
    expect(() => kernel.remember(5, 0, 5001)).toThrow("want 1 to 5000");
    expect(() => kernel.remember(5, 0, 0)).toThrow("got sid 0");
    expect(view.seriesCount).toBe(100);
  });
});
