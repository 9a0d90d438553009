// libs/wal/describe.ts: segments and identities part by part, for `tidemark inspect` and the golden files. FORMAT.md of this folder.
import {
  describeLines,
  errorText,
  type FileDescriber,
  type FilePart,
  type FileSystem,
  parentOf,
  readWhole,
  SECTOR_BYTES,
} from "../env/index.ts";
import { decodeSamplesRecord } from "../kernel/index.ts";
import { decodeSeriesKey } from "../model/index.ts";
import { identityPath, readIdentity } from "./identity.ts";
import { Checksums, get16, HEADER_BYTES, isKnownType, RECORD, RECORD_MAGIC } from "./record.ts";
import { decompressRegistrations, Registration } from "./registration.ts";
import { type Scanned, SegmentReader, scanSegment } from "./scan.ts";
import { claimedDirectory, decodeSegmentHeader, segmentNumberOf } from "./segment.ts";

const NAMES = new Map<number, string>(Object.entries(RECORD).map(([name, type]) => [type, name]));
/** Entries of one record that are shown. */
const ENTRIES_SHOWN = 1000;

const identityDescriber: FileDescriber = {
  kind: "data directory identity",
  recognises: (name, head) => name === "tidemark.json" || startsWith(head, '{\n  "format": "tidemark data directory"'),
  *describe(fs, path) {
    let damage: string | undefined;
    try {
      readIdentity(fs, path);
    } catch (error) {
      damage = errorText(error);
    }
    yield* describeLines(readWhole(fs, path)!, damage);
  },
};

const segmentDescriber: FileDescriber = {
  kind: "WAL segment",
  recognises: (name, head) => /\.wal$/.test(name) || (head.length >= 2 && get16(head, 0) === RECORD_MAGIC),
  *describe(fs, path) {
    const file = fs.open(path, "read");
    try {
      const reader = new SegmentReader(file);
      reader.at(0, Math.min(SECTOR_BYTES, reader.sizeBytes));
      const found = placeOf(fs, path, reader.bytes);
      if (found === undefined) {
        const damage = "no header, and no tidemark.json above it to read the rest by";
        yield { offset: 0, sizeBytes: reader.sizeBytes, text: "unknown", damage };
        return;
      }
      let end = 0;
      for (const one of scanSegment(reader, new Checksums(found.directoryId, found.segment), () => true)) {
        if (one.offset > end) yield { offset: end, sizeBytes: one.offset - end, text: "zeros up to the next sector" };
        if (one.kind === "region") {
          yield { offset: one.offset, sizeBytes: one.length, text: "no record", damage: one.reason };
          end = one.offset + one.length;
        } else if (one.kind === "record") {
          yield* describeRecord(path, one);
          end = one.end;
        }
      }
      if (end < reader.sizeBytes) {
        yield { offset: end, sizeBytes: reader.sizeBytes - end, text: "zeros up to the next sector" };
      }
    } finally {
      file.close();
    }
  },
};

/** The describers of this folder's files. */
export const WAL_DESCRIBERS: readonly FileDescriber[] = [identityDescriber, segmentDescriber];

/** What the checksums of a segment were made with: by its own header, or by the directory that it is in. */
function placeOf(
  fs: FileSystem,
  path: string,
  head: Uint8Array,
): { directoryId: Uint8Array; segment: number } | undefined {
  // A copy may have another name than the segment had.
  const inHeader =
    head.length >= HEADER_BYTES + 12 ? new DataView(head.buffer, head.byteOffset).getUint32(24, true) : 0;
  for (const segment of [segmentNumberOf(path), inHeader]) {
    if (segment === undefined) continue;
    const directoryId = claimedDirectory(head, segment);
    if (directoryId !== undefined) return { directoryId, segment };
  }
  const segment = segmentNumberOf(path);
  const identity = identityPath(parentOf(parentOf(path)));
  if (segment === undefined || fs.stat(identity) === undefined) return undefined;
  return { directoryId: readIdentity(fs, identity).directoryId, segment };
}

function* describeRecord(path: string, record: Extract<Scanned, { kind: "record" }>): Generator<FilePart> {
  const { type, body, offset, end } = record;
  const name = NAMES.get(type) ?? `type ${type}`;
  const part = (text: string, damage?: string): FilePart => {
    const whole = { offset, sizeBytes: end - offset, text: `${name}: ${text}` };
    return damage === undefined ? whole : { ...whole, damage };
  };
  const inside = (text: string): FilePart => ({
    offset: offset + HEADER_BYTES,
    sizeBytes: body.length,
    text,
    depth: 1,
  });
  try {
    switch (type) {
      case RECORD.segmentHeader: {
        const { segment, previous, createdMs } = decodeSegmentHeader(path, body);
        const before =
          previous.segment === 0 ? "the first" : `after segment ${previous.segment}, which ended at ${previous.offset}`;
        yield part(`segment ${segment}, ${before}, made at ${isoTime(createdMs)}`);
        return;
      }
      case RECORD.registrations:
      case RECORD.repeatedRegistrations: {
        const plain = type === RECORD.registrations ? body : decompressRegistrations(body);
        if (plain === undefined) {
          yield part(`${body.length} bytes`, "no snappy block");
          return;
        }
        const texts: string[] = [];
        const entry = new Registration(plain);
        let more = entry.next();
        for (; more === true; more = entry.next()) texts.push(describeEntry(entry));
        yield part(`${texts.length} series`, more === "malformed" ? "an entry beyond its end" : undefined);
        yield* shown(texts, inside);
        return;
      }
      case RECORD.samples: {
        const { series, times, values, count } = decodeSamplesRecord(body);
        const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length);
        const texts = Array.from({ length: Math.min(count, ENTRIES_SHOWN + 1) }, (_, i) => {
          return `series ${series[i]} at ${times[i]}: ${values[i]} (${bits[i]!.toString(16).padStart(16, "0")})`;
        });
        yield part(`${count} samples`);
        yield* shown(texts, inside, count);
        return;
      }
      case RECORD.metadata:
        yield part(new TextDecoder().decode(body));
        return;
      default:
        yield part(`${body.length} bytes`, isKnownType(type) ? undefined : "a type that is unknown to this release");
    }
  } catch (error) {
    yield part(`${body.length} bytes`, errorText(error));
  }
}

function* shown(
  texts: readonly string[],
  inside: (text: string) => FilePart,
  count = texts.length,
): Generator<FilePart> {
  for (const text of texts.slice(0, ENTRIES_SHOWN)) yield inside(text);
  if (count > ENTRIES_SHOWN) yield inside(`and ${count - ENTRIES_SHOWN} more`);
}

function describeEntry(entry: Registration): string {
  const { tenant, labels } = decodeSeriesKey(entry.key);
  const pairs = labels.flatMap((name, i) => (i % 2 === 0 ? [`${name}=${JSON.stringify(labels[i + 1])}`] : []));
  const home = entry.home.toString(16).padStart(16, "0");
  const id = Buffer.from(entry.id).toString("hex");
  return `series ${entry.series}, shard ${entry.shard}, home ${home}, id ${id}: ${tenant} {${pairs.join(", ")}}`;
}

function isoTime(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.subarray(0, text.length)).toString("latin1") === text;
}
