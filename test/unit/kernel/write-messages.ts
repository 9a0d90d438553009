// test/unit/kernel/write-messages.ts: encodes remote write messages field by field, in the usual form and in any odd one.

export interface PlainSeries {
  readonly labels: readonly (readonly [string, string])[];
  /** Time in ms and value. */
  readonly samples: readonly (readonly [number, number])[];
}

const utf8 = new TextEncoder();

/** Collects bytes; all lengths are known when a field is written. */
export class Bytes {
  private data = new Uint8Array(256);
  length = 0;

  private room(n: number): void {
    if (this.length + n <= this.data.length) return;
    const bigger = new Uint8Array(Math.max(this.data.length * 2, this.length + n));
    bigger.set(this.data);
    this.data = bigger;
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.data.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  byte(value: number): this {
    this.room(1);
    this.data[this.length++] = value;
    return this;
  }

  /** A varint; `padTo` makes it longer than it need be. */
  varint(value: number | bigint, padTo = 1): this {
    let rest = BigInt.asUintN(64, BigInt(value));
    let n = 1;
    while (rest > 127n || n < padTo) {
      this.byte(Number(rest & 127n) | 128);
      rest >>= 7n;
      n++;
    }
    return this.byte(Number(rest));
  }

  tag(field: number, wire: number): this {
    return this.varint(field * 8 + wire);
  }

  /** A bytes field. */
  field(number: number, body: Uint8Array | string): this {
    const bytes = typeof body === "string" ? utf8.encode(body) : body;
    return this.tag(number, 2).varint(bytes.length).raw(bytes);
  }

  double(value: number): this {
    this.room(8);
    new DataView(this.data.buffer).setFloat64(this.length, value, true);
    this.length += 8;
    return this;
  }

  take(): Uint8Array {
    return this.data.slice(0, this.length);
  }
}

/** A Sample as Prometheus writes it: zero fields are left out. */
export function encodeSample(timeMs: number, value: number): Uint8Array {
  const out = new Bytes();
  if (!Object.is(value, 0)) out.tag(1, 1).double(value);
  if (timeMs !== 0) out.tag(2, 0).varint(timeMs);
  return out.take();
}

export function encodeLabel(name: string, value: string): Uint8Array {
  return new Bytes().field(1, name).field(2, value).take();
}

const labelFields = new Map<readonly (readonly [string, string])[], Uint8Array>();

/** The label fields of a series. Remembered, because scrapes repeat them. */
export function encodeLabels(labels: readonly (readonly [string, string])[]): Uint8Array {
  let bytes = labelFields.get(labels);
  if (bytes === undefined) {
    const out = new Bytes();
    for (const [name, value] of labels) out.field(1, encodeLabel(name, value));
    bytes = out.take();
    labelFields.set(labels, bytes);
  }
  return bytes;
}

/** A prometheus.WriteRequest. */
export function encodeV1(series: readonly PlainSeries[]): Uint8Array {
  const out = new Bytes();
  for (const one of series) {
    const body = new Bytes().raw(encodeLabels(one.labels));
    for (const [timeMs, value] of one.samples) body.field(2, encodeSample(timeMs, value));
    out.field(1, body.take());
  }
  return out.take();
}

/** An io.prometheus.write.v2.Request, symbols first. */
export function encodeV2(series: readonly PlainSeries[]): Uint8Array {
  const symbols = new Map<string, number>([["", 0]]);
  const refOf = (text: string): number => {
    let ref = symbols.get(text);
    if (ref === undefined) {
      ref = symbols.size;
      symbols.set(text, ref);
    }
    return ref;
  };
  const body = new Bytes();
  for (const one of series) {
    const refs = new Bytes();
    for (const [name, value] of one.labels) refs.varint(refOf(name)).varint(refOf(value));
    const fields = new Bytes().field(1, refs.take());
    for (const [timeMs, value] of one.samples) fields.field(2, encodeSample(timeMs, value));
    const help = refOf(`help of ${one.labels[0]?.[1] ?? ""}`);
    fields.field(5, new Bytes().tag(1, 0).varint(1).tag(3, 0).varint(help).take());
    body.field(5, fields.take());
  }
  const out = new Bytes();
  for (const symbol of symbols.keys()) out.field(4, symbol);
  return out.raw(body.take()).take();
}
