// libs/block/series-page.ts: the keys of up to 512 series, label by label: what a name's values are, and which of them each series has.
// FORMAT.md, "Series pages". 5.5 B per series of a node_exporter; keys one after another with shared prefixes would take 7.9.
import type { PairRows } from "../index/index.ts";
import { encodeKeyParts, splitSeriesKey } from "../model/index.ts";
import { ByteSink, ByteSource } from "./byte-stream.ts";

/** Texts of one schema: tenant and label names. */
const PARTS_MAX = 1 << 16;

/** A label name's values in order of appearance, and each series' choice. */
interface NameColumn {
  readonly values: Map<string, number>;
  readonly choices: ByteSink;
}

/** Bytes as text of as many characters, to be a Map's key: keys need not be UTF-8 here. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function writeTexts(sink: ByteSink, texts: Iterable<string>): void {
  const all = [...texts];
  sink.uvarint(all.length);
  for (const text of all) sink.uvarint(text.length);
  for (const text of all) sink.raw(Buffer.from(text, "latin1"));
}

function readTexts(source: ByteSource, max: number): Uint8Array[] {
  const count = source.uvarint();
  if (count > max) throw source.damage(`${count} texts`, `at most ${max}`);
  const lengths = Array.from({ length: count }, () => source.uvarint());
  return lengths.map((length) => source.raw(length));
}

/** Encodes keys. Errors: InvalidError for a malformed key. */
export function encodeSeriesPage(keys: readonly Uint8Array[]): Uint8Array {
  // A schema is a tenant with the names of a series' labels.
  const schemas = new Map<string, { number: number; parts: string[] }>();
  const schemaOf = new ByteSink();
  const names = new Map<string, NameColumn>();
  for (const key of keys) {
    const parts = splitSeriesKey(key).map(textOf);
    const schema = parts.filter((_, i) => i === 0 || i % 2 === 1);
    const schemaKey = schema.map((part) => `${part.length}:${part}`).join("");
    let known = schemas.get(schemaKey);
    if (known === undefined) {
      known = { number: schemas.size, parts: schema };
      schemas.set(schemaKey, known);
    }
    schemaOf.uvarint(known.number);
    for (let i = 1; i < parts.length; i += 2) {
      let column = names.get(parts[i]!);
      if (column === undefined) {
        column = { values: new Map(), choices: new ByteSink() };
        names.set(parts[i]!, column);
      }
      let choice = column.values.get(parts[i + 1]!);
      if (choice === undefined) {
        choice = column.values.size;
        column.values.set(parts[i + 1]!, choice);
      }
      column.choices.uvarint(choice);
    }
  }
  const sink = new ByteSink();
  sink.uvarint(schemas.size);
  for (const { parts } of schemas.values()) writeTexts(sink, parts);
  sink.raw(schemaOf.written());
  sink.uvarint(names.size);
  for (const [name, { values, choices }] of names) {
    writeTexts(sink, [name, ...values.keys()]);
    sink.blob(choices.written());
  }
  return sink.written();
}

interface ReadColumn {
  readonly values: Uint8Array[];
  readonly choices: ByteSource;
}

/** What a page says, before it is made out for each series. */
interface PageParts {
  readonly schemas: readonly Uint8Array[][];
  readonly schemaOf: readonly number[];
  readonly names: ReadonlyMap<string, ReadColumn>;
}

function readParts(source: ByteSource, count: number, path: string, offset: number): PageParts {
  const schemaCount = source.uvarint();
  if (schemaCount > count) throw source.damage(`${schemaCount} schemas`, `at most ${count}`);
  const schemas = Array.from({ length: schemaCount }, () => readTexts(source, PARTS_MAX));
  const schemaOf = Array.from({ length: count }, () => source.uvarint());
  const names = new Map<string, ReadColumn>();
  for (let left = source.uvarint(); left > 0; left--) {
    const [name, ...values] = readTexts(source, count + 1);
    if (name === undefined) throw source.damage("no label name", "one before its values");
    const choices = source.blob();
    names.set(textOf(name), { values, choices: new ByteSource(choices, "label choices", path, offset) });
  }
  source.end();
  return { schemas, schemaOf, names };
}

/** Decodes the keys of a page of `count` series. Errors: CorruptionError. */
export function decodeSeriesPage(source: ByteSource, count: number, path: string, offset: number): Uint8Array[] {
  const { schemas, schemaOf, names } = readParts(source, count, path, offset);
  // Each schema's names looked up once, not once per series.
  const resolved = schemas.map(([tenant = new Uint8Array(0), ...labels]) => ({
    tenant,
    labels: labels.map((name) => ({ name, column: names.get(textOf(name)) })),
  }));
  const keys = schemaOf.map((number) => {
    const schema = resolved[number];
    if (schema === undefined) throw source.damage(`schema ${number}`, `one below ${schemas.length}`);
    const parts: Uint8Array[] = [schema.tenant];
    for (const { name, column } of schema.labels) {
      const value = column?.values[column.choices.uvarint()];
      if (value === undefined) throw source.damage("a label without a value", "one of its name's values");
      parts.push(name, value);
    }
    return encodeKeyParts(parts);
  });
  for (const { choices } of names.values()) choices.end();
  return keys;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes the labels of a page of `count` series, each pair of name and value once: an order of magnitude less work than the keys. Errors:
 * CorruptionError, also for labels that are no text.
 */
export function decodeSeriesRows(source: ByteSource, count: number, path: string, offset: number): PairRows {
  const { schemas, schemaOf, names } = readParts(source, count, path, offset);
  const pairNames: string[] = [];
  const pairValues: string[] = [];
  const decode = (bytes: Uint8Array): string => {
    try {
      return decoder.decode(bytes);
    } catch {
      throw source.damage("a label that is no text", "UTF-8");
    }
  };
  /** By name: its column, and the number of its first pair. */
  const columns = new Map<string, { first: number; size: number; choices: ByteSource }>();
  for (const [key, { values, choices }] of names) {
    const name = decode(Buffer.from(key, "latin1"));
    columns.set(key, { first: pairNames.length, size: values.length, choices });
    for (const value of values) {
      pairNames.push(name);
      pairValues.push(decode(value));
    }
  }
  const resolved = schemas.map(([, ...labels]) => labels.map((name) => columns.get(textOf(name))));
  const starts = new Uint32Array(count + 1);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const schema = resolved[schemaOf[i]!];
    if (schema === undefined) throw source.damage(`schema ${schemaOf[i]}`, `one below ${schemas.length}`);
    total += schema.length;
    starts[i + 1] = total;
  }
  const pairs = new Uint32Array(total);
  let at = 0;
  for (let i = 0; i < count; i++) {
    for (const column of resolved[schemaOf[i]!]!) {
      const choice = column?.choices.uvarint() ?? 0;
      if (column === undefined || choice >= column.size) {
        throw source.damage("a label without a value", "one of its name's values");
      }
      pairs[at++] = column.first + choice;
    }
  }
  for (const { choices } of names.values()) choices.end();
  return { starts, pairs, names: pairNames, values: pairValues };
}
