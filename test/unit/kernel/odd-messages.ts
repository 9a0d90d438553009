// test/unit/kernel/odd-messages.ts: remote write messages in every encoding that protobuf allows, and ways to damage them.
// Labels come from a small pool, so that series repeat from message to message and remembered forms are met again.
import { Bytes } from "./write-messages.ts";

/** Uniform in [0, 1). */
export type Chance = () => number;

export function below(random: Chance, n: number): number {
  return Math.floor(random() * n);
}

function pick<T>(random: Chance, choices: readonly T[]): T {
  return choices[below(random, choices.length)]!;
}

const NAMES = [
  "__name__",
  "job",
  "instance",
  "le",
  "__proto__",
  "é",
  "",
  "mode",
  "a_rather_long_label_name_of_forty_one_byte",
];
const VALUES = [
  "",
  "up",
  "node_exporter",
  "host-000001.dc1.example:9100",
  "\u{1f600}",
  "x".repeat(130),
  "y".repeat(60),
  "0.5",
];
const TIMES = [
  ...[
    0n,
    1n,
    -1n,
    1_750_000_000_000n,
    1_750_000_000_000n,
    1_750_000_015_000n,
    1_750_000_000n,
    34_359_738_368n,
    4_398_046_511_103n,
  ],
  ...[4_398_046_511_104n, 2n ** 53n, -(2n ** 53n), 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)],
];
const VALUE_BITS = [
  ...[
    0n,
    1n << 63n,
    0x3ff0000000000000n,
    0x7ff0000000000002n,
    0x7ff8000000000001n,
    0xfff8000000000000n,
    0x7ff0000000000000n,
    1n,
  ],
];

class Odd {
  readonly random: Chance;
  /** How often anything unusual is chosen. */
  readonly oddness: number;

  constructor(random: Chance, oddness: number) {
    this.random = random;
    this.oddness = oddness;
  }

  odd(): boolean {
    return this.random() < this.oddness;
  }

  tag(out: Bytes, field: number, wire: number): Bytes {
    return out.varint(field * 8 + wire, this.odd() ? 1 + below(this.random, 5) : 1);
  }

  field(out: Bytes, number: number, body: Bytes): Bytes {
    const bytes = body.take();
    return this.tag(out, number, 2)
      .varint(bytes.length, this.odd() ? 1 + below(this.random, 5) : 1)
      .raw(bytes);
  }

  /** Perhaps a field that no version knows, of any wire type. */
  unknown(out: Bytes): void {
    if (!this.odd()) return;
    const number = pick(this.random, [6, 9, 15, 16, 2000, 2 ** 29 - 1]);
    const wire = pick(this.random, [0, 1, 2, 3, 5]);
    if (wire === 0) this.tag(out, number, 0).varint(BigInt(below(this.random, 2 ** 31)) * 4_000_000_007n);
    if (wire === 1) this.tag(out, number, 1).raw(new Uint8Array(8).fill(0x0a));
    if (wire === 2) this.field(out, number, new Bytes().raw(new Uint8Array(below(this.random, 20)).fill(0x12)));
    if (wire === 5) this.tag(out, number, 5).raw(new Uint8Array(4).fill(0x22));
    if (wire === 3) {
      this.tag(out, number, 3);
      this.unknown(out);
      this.tag(out, 7, 0).varint(1);
      this.tag(out, number, 4);
    }
  }

  sample(): Bytes {
    const out = new Bytes();
    const bits = this.odd() ? pick(this.random, VALUE_BITS) : BigInt(below(this.random, 2 ** 31)) << 21n;
    const time = this.odd() ? pick(this.random, TIMES) : 1_750_000_000_000n;
    const parts: (() => void)[] = [];
    const eight = new Uint8Array(new BigUint64Array([bits]).buffer);
    if (bits !== 0n || this.odd()) parts.push(() => this.tag(out, 1, 1).raw(eight));
    if (time !== 0n || this.odd()) parts.push(() => this.tag(out, 2, 0).varint(time, this.odd() ? 8 : 1));
    if (this.odd()) parts.push(() => this.tag(out, 3, 0).varint(17));
    if (this.odd()) parts.push(() => this.unknown(out));
    if (this.odd()) parts.push(() => this.tag(out, 1, 1).raw(eight));
    if (this.odd()) parts.reverse();
    for (const part of parts) part();
    return out;
  }

  /** Writes the parts of a series, mostly in their order. */
  assemble(parts: ((out: Bytes) => void)[]): Bytes {
    const out = new Bytes();
    if (this.odd()) {
      for (let i = parts.length - 1; i > 0; i--) {
        const j = below(this.random, i + 1);
        [parts[i], parts[j]] = [parts[j]!, parts[i]!];
      }
    }
    for (const part of parts) {
      part(out);
      this.unknown(out);
    }
    return out;
  }

  labels(): [string, string][] {
    const kind = below(this.random, 12);
    const base: [string, string][] = [
      ["__name__", `metric_${kind}_with_a_name_of_some_length`],
      ["instance", `host-${kind % 3}:9100`],
      ["job", "node"],
    ];
    if (this.odd()) base.push([pick(this.random, NAMES), pick(this.random, VALUES)]);
    if (this.odd()) base.reverse();
    if (this.odd()) base.length = below(this.random, base.length + 1);
    return base;
  }

  label(name: string, value: string): Bytes {
    const out = new Bytes();
    const text = (number: number, s: string) => () =>
      this.field(out, number, new Bytes().raw(new TextEncoder().encode(s)));
    const parts = [text(1, name), text(2, value)];
    if (this.odd()) parts.reverse();
    if (this.odd()) parts.pop();
    if (this.odd()) this.unknown(out);
    for (const part of parts) part();
    return out;
  }
}

/** A valid version 1 message. With oddness 0 it is as Prometheus writes it. */
export function oddV1(random: Chance, oddness: number): Uint8Array {
  const odd = new Odd(random, oddness);
  const out = new Bytes();
  for (let n = below(random, 7); n > 0; n--) {
    const parts: ((to: Bytes) => void)[] = odd.labels().map(
      ([name, value]) =>
        (to) =>
          odd.field(to, 1, odd.label(name, value)),
    );
    const samples = odd.odd() ? below(random, 4) : 1;
    for (let i = 0; i < samples; i++) parts.push((to) => odd.field(to, 2, odd.sample()));
    if (odd.odd()) parts.push((to) => odd.field(to, 3, new Bytes().raw(new Uint8Array(below(random, 9)))));
    if (odd.odd()) parts.push((to) => odd.field(to, 4, new Bytes().raw(new Uint8Array(below(random, 9)))));
    odd.field(out, 1, odd.assemble(parts));
    if (odd.odd()) odd.field(out, 3, new Bytes().tag(1, 0).varint(1).field(2, "family"));
    odd.unknown(out);
  }
  return out.take();
}

/** A version 2 message, well-formed; now and then with references to no symbol or an odd number of them. */
export function oddV2(random: Chance, oddness: number): Uint8Array {
  const odd = new Odd(random, oddness);
  const symbols = [""];
  const refOf = (text: string): number => {
    const at = symbols.indexOf(text);
    return at >= 0 ? at : symbols.push(text) - 1;
  };
  const series: Bytes[] = [];
  for (let n = below(random, 7); n > 0; n--) {
    const refs = odd.labels().flatMap(([name, value]) => [refOf(name), refOf(value)]);
    if (odd.odd() && random() < 0.3) refs.push(pick(random, [0, 1, 77, 300, 2 ** 32, 2 ** 40]));
    const parts: ((to: Bytes) => void)[] = [];
    if (odd.odd()) for (const ref of refs) parts.push((to) => odd.tag(to, 1, 0).varint(ref));
    else {
      const cut = odd.odd() ? below(random, refs.length + 1) : refs.length;
      for (const some of [refs.slice(0, cut), refs.slice(cut)]) {
        const packed = new Bytes();
        for (const ref of some) packed.varint(ref, odd.odd() ? 3 : 1);
        if (some.length > 0) parts.push((to) => odd.field(to, 1, packed));
      }
    }
    const samples = odd.odd() ? below(random, 4) : 1;
    for (let i = 0; i < samples; i++) parts.push((to) => odd.field(to, 2, odd.sample()));
    if (odd.odd()) parts.push((to) => odd.field(to, 3, new Bytes().raw(new Uint8Array(below(random, 9)))));
    if (odd.odd()) parts.push((to) => odd.field(to, 4, new Bytes().raw(new Uint8Array(below(random, 9)))));
    parts.push((to) => {
      const family = new Bytes();
      odd.tag(family, 1, 0).varint(below(random, 8));
      odd.tag(family, 3, 0).varint(odd.odd() ? 2 ** 33 : below(random, 300));
      if (odd.odd()) odd.tag(family, 4, 0).varint(0);
      odd.unknown(family);
      odd.field(to, 5, family);
    });
    series.push(odd.assemble(parts));
  }
  const out = new Bytes();
  const early = odd.odd() ? below(random, symbols.length + 1) : symbols.length;
  for (const symbol of symbols.slice(0, early)) odd.field(out, 4, new Bytes().raw(new TextEncoder().encode(symbol)));
  series.forEach((one, i) => {
    odd.field(out, 5, one);
    odd.unknown(out);
    if (i === 0) {
      for (const symbol of symbols.slice(early)) odd.field(out, 4, new Bytes().raw(new TextEncoder().encode(symbol)));
    }
  });
  return out.take();
}

const HOSTILE = [
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  [0x7f],
  [0x00],
];

/** Damages a copy: cuts it, flips bits, puts hostile lengths in, repeats or removes a stretch. */
export function damage(random: Chance, bytes: Uint8Array): Uint8Array {
  const at = below(random, bytes.length + 1);
  const kind = below(random, 6);
  if (kind === 0) return bytes.slice(0, at);
  if (kind === 1) {
    const out = bytes.slice();
    for (let n = 1 + below(random, 3); n > 0 && out.length > 0; n--) {
      const i = below(random, out.length);
      out[i] = out[i]! ^ (1 << below(random, 8));
    }
    return out;
  }
  if (kind === 2) {
    const out = bytes.slice();
    if (out.length > 0) out[below(random, out.length)] = below(random, 256);
    return out;
  }
  const put = kind === 3 ? pick(random, HOSTILE) : [...bytes.subarray(at, at + below(random, 30))];
  const skip = kind === 5 ? put.length : kind === 4 ? 0 : 1;
  const middle = kind === 5 ? [] : put;
  return Uint8Array.of(...bytes.subarray(0, at), ...middle, ...bytes.subarray(at + skip));
}
