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

/** Texts, and where each ends. */
interface Texts {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
}

function readTexts(source: ByteSource, max: number): Texts {
  const count = source.uvarint();
  if (count > max) throw source.damage(`${count} texts`, `at most ${max}`);
  const ends = new Uint32Array(count);
  let total = 0;
  for (let i = 0; i < count; i++) {
    total += source.uvarint();
    ends[i] = total;
  }
  return { bytes: source.raw(total), ends };
}

function textAt({ bytes, ends }: Texts, i: number): Uint8Array {
  return bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i]);
}

const allOf = (texts: Texts): Uint8Array[] => Array.from(texts.ends, (_, i) => textAt(texts, i));

/** As textOf of each. */
function textsOf({ bytes, ends }: Texts): string[] {
  const all = textOf(bytes);
  return Array.from(ends, (end, i) => all.slice(i === 0 ? 0 : ends[i - 1], end));
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
  /** The name, then its values. */
  readonly texts: Texts;
  readonly choices: Uint8Array;
}

/** What a page says, before it is made out for each series. */
interface PageParts {
  /** The tenant, then the label names. */
  readonly schemas: readonly Texts[];
  readonly schemaOf: Uint32Array;
  readonly names: ReadonlyMap<string, ReadColumn>;
}

function readParts(source: ByteSource, count: number): PageParts {
  const schemaCount = source.uvarint();
  if (schemaCount > count) throw source.damage(`${schemaCount} schemas`, `at most ${count}`);
  const schemas = Array.from({ length: schemaCount }, () => readTexts(source, PARTS_MAX));
  const schemaOf = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const number = source.uvarint();
    if (number >= schemaCount) throw source.damage(`schema ${number}`, `one below ${schemaCount}`);
    schemaOf[i] = number;
  }
  const names = new Map<string, ReadColumn>();
  for (let left = source.uvarint(); left > 0; left--) {
    const texts = readTexts(source, count + 1);
    if (texts.ends.length === 0) throw source.damage("no label name", "one before its values");
    names.set(textOf(textAt(texts, 0)), { texts, choices: source.blob() });
  }
  source.end();
  return { schemas, schemaOf, names };
}

/** Decodes the keys of a page of `count` series. Errors: CorruptionError. */
export function decodeSeriesPage(source: ByteSource, count: number, path: string, offset: number): Uint8Array[] {
  const { schemas, schemaOf, names } = readParts(source, count);
  const columns = new Map(
    [...names].map(([name, { texts, choices }]) => {
      const read = new ByteSource(choices, "label choices", path, offset);
      return [name, { values: allOf(texts).slice(1), choices: read }];
    }),
  );
  // Each schema's names looked up once, not once per series.
  const resolved = schemas.map((schema) => {
    const [tenant = new Uint8Array(0), ...labels] = allOf(schema);
    return { tenant, labels: labels.map((name) => ({ name, column: columns.get(textOf(name)) })) };
  });
  const keys = Array.from(schemaOf, (number) => {
    const schema = resolved[number]!;
    const parts: Uint8Array[] = [schema.tenant];
    for (const { name, column } of schema.labels) {
      const value = column?.values[column.choices.uvarint()];
      if (value === undefined) throw source.damage("a label without a value", "one of its name's values");
      parts.push(name, value);
    }
    return encodeKeyParts(parts);
  });
  for (const { choices } of columns.values()) choices.end();
  return keys;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One label name of a page: finds which value a series has, series after series. */
class ChoiceColumn {
  /** By value: the number of its pair among those given now; -1 while nobody has asked for it. */
  readonly pairs: Int32Array;
  /** The name's text and those of values, once they were asked for. */
  private known: string | undefined;
  private readonly valueTexts: (string | undefined)[];
  private readonly texts: Texts;
  private readonly schemas: readonly number[];
  private readonly isOfAll: boolean;
  /** Whether a choice is a byte: mostly all are below 128. */
  private readonly isPlain: boolean;
  private readonly bytes: Uint8Array;
  private readonly choices: ByteSource;
  private passed = 0;
  private asked = 0;

  /** `schemas`: those that have the name; `sizes`: how many series each schema has. */
  constructor({ texts, choices }: ReadColumn, schemas: readonly number[], sizes: Uint32Array, source: ByteSource) {
    this.texts = texts;
    this.pairs = new Int32Array(texts.ends.length - 1).fill(-1);
    this.valueTexts = new Array<string | undefined>(this.pairs.length).fill(undefined);
    this.schemas = schemas;
    this.isOfAll = schemas.length === sizes.length;
    this.isPlain = choices.length === this.sumOf(sizes);
    this.bytes = choices;
    this.choices = source;
  }

  private sumOf(seen: Uint32Array): number {
    let sum = 0;
    for (const schema of this.schemas) sum += seen[schema]!;
    return sum;
  }

  /** Begins with the first series again. */
  restart(): void {
    this.passed = 0;
    this.asked = 0;
    this.choices.at = 0;
  }

  /** The choice of the series at a place; `seen` tells how many series of each schema there are before it, undefined that all were asked for. */
  choiceOf(place: number, seen: Uint32Array | undefined): number {
    const rank = seen === undefined ? this.asked++ : this.isOfAll ? place : this.sumOf(seen);
    if (this.isPlain) return this.bytes[rank]! < 128 ? this.bytes[rank]! : -1;
    for (; this.passed < rank; this.passed++) this.choices.skipNumber();
    this.passed++;
    return this.choices.uvarint();
  }

  name(): string {
    this.known ??= this.decode(0);
    return this.known;
  }

  valueOf(choice: number): string {
    let text = this.valueTexts[choice];
    if (text === undefined) {
      text = this.decode(choice + 1);
      this.valueTexts[choice] = text;
    }
    return text;
  }

  private decode(i: number): string {
    try {
      return decoder.decode(textAt(this.texts, i));
    } catch {
      throw this.choices.damage("a label that is no text", "UTF-8");
    }
  }
}

/** What a column of choices takes in memory beside its bytes, and each value in it, about; texts that were asked for included. */
const CHOICES_BYTES = 300;
const VALUE_BYTES = 60;

/**
 * The labels of a page's series: each pair of name and value once, and texts only of those that somebody asked for. An order of magnitude less
 * work than the keys.
 */
export class LabelPage {
  /** Memory that it takes, about. */
  readonly keptBytes: number;
  private readonly source: ByteSource;
  private readonly schemaOf: Uint32Array;
  private readonly schemaCount: number;
  private readonly columns: readonly ChoiceColumn[];
  /** By schema: the columns of its names; undefined where the page lacks one. */
  private readonly resolved: readonly (readonly (ChoiceColumn | undefined)[])[];

  /** Takes the bytes of a page of `count` series. Errors: CorruptionError. */
  constructor(source: ByteSource, count: number, path: string, offset: number) {
    const { schemas, schemaOf, names } = readParts(source, count);
    this.source = source;
    this.schemaOf = schemaOf;
    this.schemaCount = schemas.length;
    const sizes = new Uint32Array(schemas.length);
    for (let i = 0; i < count; i++) sizes[schemaOf[i]!]!++;
    const labelsOf = schemas.map((schema) => textsOf(schema).slice(1));
    const having = new Map<string, number[]>();
    labelsOf.forEach((labels, schema) => {
      for (const name of labels) {
        const known = having.get(name);
        if (known === undefined) having.set(name, [schema]);
        else known.push(schema);
      }
    });
    const columns = new Map<string, ChoiceColumn>();
    for (const [name, column] of names) {
      const choices = new ByteSource(column.choices, "label choices", path, offset);
      columns.set(name, new ChoiceColumn(column, having.get(name) ?? [], sizes, choices));
    }
    this.columns = [...columns.values()];
    this.resolved = labelsOf.map((labels) => labels.map((name) => columns.get(name)));
    const values = this.columns.reduce((sum, { pairs }) => sum + pairs.length, 0);
    this.keptBytes = source.at + 4 * count + CHOICES_BYTES * columns.size + VALUE_BYTES * values;
  }

  /** The labels of the series at these ascending places of the page, of all without any. Errors: CorruptionError, also for labels that are no text. */
  rows(places: Uint32Array = Uint32Array.from(this.schemaOf, (_, i) => i)): PairRows {
    const { columns } = this;
    for (const column of columns) column.restart();
    const found: { column: ChoiceColumn; choice: number }[] = [];
    try {
      return this.read(places, found);
    } finally {
      for (const { column, choice } of found) column.pairs[choice] = -1;
    }
  }

  private read(places: Uint32Array, found: { column: ChoiceColumn; choice: number }[]): PairRows {
    const { schemaOf, resolved, source } = this;
    const starts = new Uint32Array(places.length + 1);
    for (let k = 0; k < places.length; k++) starts[k + 1] = starts[k]! + resolved[schemaOf[places[k]!]!]!.length;
    const pairs = new Uint32Array(starts[places.length]!);
    const names: string[] = [];
    const values: string[] = [];
    const seen = places.length === schemaOf.length ? undefined : new Uint32Array(this.schemaCount);
    let at = 0;
    let passed = 0;
    for (let k = 0; k < places.length; k++) {
      const place = places[k]!;
      if (seen !== undefined) for (; passed < place; passed++) seen[schemaOf[passed]!]!++;
      for (const column of resolved[schemaOf[place]!]!) {
        const choice = column?.choiceOf(place, seen) ?? 0;
        const known = column?.pairs[choice];
        if (column === undefined || known === undefined) {
          throw source.damage("a label without a value", "one of its name's values");
        }
        if (known < 0) {
          names.push(column.name());
          values.push(column.valueOf(choice));
          column.pairs[choice] = found.length;
          found.push({ column, choice });
        }
        pairs[at++] = column.pairs[choice]!;
      }
    }
    return { starts, pairs, names, values };
  }
}
