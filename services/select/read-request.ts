// services/select/read-request.ts: the body of a remote read request, decoded and checked. Contract: proto/remote-read.proto.
// Invariant: the length that a snappy block declares is checked before anything is allocated for it.
import { join } from "node:path";
import { loadSync } from "@grpc/proto-loader";
import { uncompressSync } from "snappy";
import { packageRoot } from "../../libs/env/index.ts";
import { compileMatcher, InvalidError, type Matcher, type MatchType, type TimeRange } from "../../libs/model/index.ts";
import { RegexBound } from "./match-parameter.ts";
import { MAX_TIME_MS, MIN_TIME_MS } from "./params.ts";

export type ReadForm = "samples" | "chunks";

/** One query of a request. */
export interface ReadQuery {
  readonly matchers: readonly Matcher[];
  /** What the asker will look at. Empty when minMs > maxMs. */
  readonly range: TimeRange;
  /** Whether only the labels of series are asked for. */
  readonly onlySeries: boolean;
}

export interface ReadRequest {
  readonly queries: readonly ReadQuery[];
  readonly form: ReadForm;
}

interface QueryMessage {
  readonly startTimestampMs: number;
  readonly endTimestampMs: number;
  readonly matchers: readonly { readonly type: number; readonly name: string; readonly value: string }[];
  readonly hints: { readonly func: string; readonly startMs: number; readonly endMs: number } | null;
}
interface RequestMessage {
  readonly queries: readonly QueryMessage[];
  readonly acceptedResponseTypes: readonly number[];
}

/** A request is some matchers; what is longer is none. */
const DECODED_BYTES_MAX = 1 << 20;
const QUERIES_MAX = 1000;
const MATCH_TYPES: readonly MatchType[] = ["=", "!=", "=~", "!~"];

let codec: { deserialize(bytes: Buffer): RequestMessage } | undefined;

function requestCodec(): { deserialize(bytes: Buffer): RequestMessage } {
  if (codec === undefined) {
    const options = { includeDirs: [join(packageRoot(), "proto")], defaults: true, arrays: true, longs: Number };
    const definition = loadSync("remote-read.proto", options);
    codec = definition["prometheus.ReadRequest"] as unknown as { deserialize(bytes: Buffer): RequestMessage };
  }
  return codec;
}

/** Errors: InvalidError. */
export function parseReadRequest(body: Buffer): ReadRequest {
  const message = decode(uncompressed(body));
  if (message.queries.length > QUERIES_MAX) {
    throw new InvalidError(`cannot read: got ${message.queries.length} queries; want at most ${QUERIES_MAX}`);
  }
  const regexes = new RegexBound();
  return {
    queries: message.queries.map((query) => queryOf(query, regexes)),
    form: formOf(message.acceptedResponseTypes),
  };
}

function uncompressed(body: Buffer): Buffer {
  const length = declaredLength(body);
  if (length > DECODED_BYTES_MAX) {
    throw new InvalidError(`cannot read request: got ${length} bytes; want at most ${DECODED_BYTES_MAX}`);
  }
  try {
    return uncompressSync(body, { asBuffer: true }) as Buffer;
  } catch (cause) {
    throw new InvalidError("cannot read request: got a body that is no snappy block; want one", { cause });
  }
}

/** What a snappy block says about its length, which its decoder allocates; too much when it says nothing readable. */
function declaredLength(body: Buffer): number {
  let length = 0;
  for (let i = 0, scale = 1; i < 5 && i < body.length; i++, scale *= 128) {
    length += (body[i]! & 127) * scale;
    if (body[i]! < 128) return length;
  }
  throw new InvalidError("cannot read request: got a body that is no snappy block; want one");
}

function decode(bytes: Buffer): RequestMessage {
  try {
    return requestCodec().deserialize(bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidError(`cannot read request: got a damaged message (${reason}); want a ReadRequest`, { cause });
  }
}

/** The first form that we have; samples when none is named. */
function formOf(accepted: readonly number[]): ReadForm {
  if (accepted.length === 0) return "samples";
  for (const type of accepted) {
    if (type === 0) return "samples";
    if (type === 1) return "chunks";
  }
  throw new InvalidError(
    `cannot answer: got accepted response types ${accepted.slice(0, 10).join(", ")}; want SAMPLES (0) or STREAMED_XOR_CHUNKS (1)`,
  );
}

function queryOf(
  { matchers: messages, hints, startTimestampMs, endTimestampMs }: QueryMessage,
  regexes: RegexBound,
): ReadQuery {
  const matchers = messages.map(({ type, name, value }): Matcher => {
    const known = MATCH_TYPES[type];
    if (known === undefined) throw new InvalidError(`cannot read matcher: got type ${type}; want 0 to 3`);
    return { type: known, name, value };
  });
  for (const matcher of regexes.add(matchers)) compileMatcher(matcher);
  // What an asker says it will look at is all that it gets, as with Prometheus. Hints without times say nothing.
  const hinted = hints !== null && (hints.startMs !== 0 || hints.endMs !== 0);
  return {
    matchers,
    range: {
      minMs: Math.max(MIN_TIME_MS, startTimestampMs, hinted ? hints.startMs : MIN_TIME_MS),
      maxMs: Math.min(MAX_TIME_MS, endTimestampMs, hinted ? hints.endMs : MAX_TIME_MS),
    },
    onlySeries: hints?.func === "series",
  };
}
