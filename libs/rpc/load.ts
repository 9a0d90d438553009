// libs/rpc/load.ts: reads proto/*.proto once per process and gives typed methods and message codecs.
// The contracts are part of the program, found the same way from the sources and from dist/.
import { join } from "node:path";
import type { MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { packageRoot } from "../env/index.ts";
import { InternalError } from "../model/index.ts";
import { joinBytesMessage, splitBytesMessage } from "./bytes-message.ts";
import type {
  AppendReply,
  AppendRequest,
  BlocksReply,
  BlocksRequest,
  CleanTombstonesRequest,
  DeleteSeriesRequest,
  DeletionsReply,
  EvaluateReply,
  EvaluateRequest,
  ExemplarsReply,
  FailureMessage,
  HandshakeReply,
  HandshakeRequest,
  ListDeletionsRequest,
  LookupRequest,
  MetadataReply,
  MetadataRequest,
  RawSamplesReply,
  RawSamplesRequest,
  SeriesReply,
  StatisticsReply,
  StatisticsRequest,
  StatusReply,
  StatusRequest,
  StringsReply,
  UndeleteRequest,
} from "./messages.ts";

/** How one message becomes bytes and back. */
export interface MessageCodec<Message> {
  serialize(message: Message): Buffer;
  deserialize(bytes: Buffer): Message;
}

/**
 * The methods of service Ingest. An append request is encoded by its sender (ingest-codec.ts), because its batches are
 * collected in place.
 */
export type IngestMethods = {
  Handshake: MethodDefinition<HandshakeRequest, HandshakeReply>;
  Append: MethodDefinition<Buffer, AppendReply>;
};

/** Leaves and their answers are encoded by who sends them: one that is too long must not end the stream of all. */
export type QueryMethods = {
  Evaluate: MethodDefinition<Buffer, EvaluateReply>;
  RawSamples: MethodDefinition<RawSamplesRequest, RawSamplesReply>;
  LabelNames: MethodDefinition<LookupRequest, StringsReply>;
  LabelValues: MethodDefinition<LookupRequest, StringsReply>;
  Series: MethodDefinition<LookupRequest, SeriesReply>;
  Metadata: MethodDefinition<MetadataRequest, MetadataReply>;
  Exemplars: MethodDefinition<LookupRequest, ExemplarsReply>;
  Statistics: MethodDefinition<StatisticsRequest, StatisticsReply>;
  Blocks: MethodDefinition<BlocksRequest, BlocksReply>;
  Status: MethodDefinition<StatusRequest, StatusReply>;
};

export type DeletionMethods = {
  DeleteSeries: MethodDefinition<DeleteSeriesRequest, DeletionsReply>;
  Undelete: MethodDefinition<UndeleteRequest, DeletionsReply>;
  ListDeletions: MethodDefinition<ListDeletionsRequest, DeletionsReply>;
  CleanTombstones: MethodDefinition<CleanTombstonesRequest, DeletionsReply>;
};

export interface Contracts {
  readonly deletions: DeletionMethods;
  readonly ingest: IngestMethods;
  readonly query: QueryMethods;
  readonly appendRequest: MessageCodec<AppendRequest>;
  readonly evaluateRequest: MessageCodec<EvaluateRequest>;
  readonly evaluateReply: MessageCodec<EvaluateReply>;
  readonly failure: MessageCodec<FailureMessage>;
}

let loaded: Contracts | undefined;

/** The contracts; the first call takes some ten milliseconds. Errors: InternalError when proto/ is missing. */
export function contracts(): Contracts {
  loaded ??= load();
  return loaded;
}

function load(): Contracts {
  const folder = join(packageRoot(), "proto");
  const definition = loadSync(["peer.proto", "ingest.proto", "query.proto", "deletion.proto"], {
    includeDirs: [folder],
    defaults: true,
    arrays: true,
    oneofs: true,
    longs: Number,
    bytes: Buffer,
  }) as unknown as Record<string, Record<string, unknown>>;
  const find = <T>(name: string): T => {
    const found = definition[`tidemark.v1.${name}`];
    if (found === undefined) throw new InternalError(`cannot load contracts: got no ${name}; want it in ${folder}`);
    return found as T;
  };
  const ingest = find<IngestMethods>("Ingest");
  const query = find<QueryMethods>("Query");
  const identity = (bytes: Buffer): Buffer => bytes;
  const evaluateReply = framed<EvaluateReply>(find("EvaluateReply"), ({ frame: _, ...rest }) => rest);
  return {
    deletions: find<DeletionMethods>("Deletions"),
    ingest: {
      ...ingest,
      Append: { ...ingest.Append, requestSerialize: identity, requestDeserialize: identity },
    },
    query: {
      ...query,
      Evaluate: {
        ...query.Evaluate,
        requestSerialize: identity,
        responseSerialize: identity as unknown as (reply: EvaluateReply) => Buffer,
        responseDeserialize: evaluateReply.deserialize,
      },
      RawSamples: {
        ...query.RawSamples,
        ...framedReply<RawSamplesReply>(query.RawSamples, ({ more, complete }) => ({ more, complete })),
      },
      Series: { ...query.Series, ...framedReply<SeriesReply>(query.Series, () => ({})) },
    },
    appendRequest: find("AppendRequest"),
    evaluateRequest: find("EvaluateRequest"),
    evaluateReply,
    failure: find("Failure"),
  };
}

/**
 * The codec of a reply whose field 1 is a big `frame`, which skips the generic code. The generic part must not name the
 * frame: a second, empty one would win over the first.
 */
function framed<Reply extends { readonly frame: Uint8Array }>(
  generic: MessageCodec<Reply>,
  withoutFrame: (reply: Reply) => Omit<Reply, "frame">,
): MessageCodec<Reply> {
  return {
    serialize: (reply) => joinBytesMessage(reply.frame, generic.serialize(withoutFrame(reply) as Reply)),
    deserialize: (bytes) => {
      const split = splitBytesMessage(bytes);
      if (split === undefined) return generic.deserialize(bytes);
      return { ...generic.deserialize(split.rest), frame: split.payload };
    },
  };
}

function framedReply<Reply extends { readonly frame: Uint8Array }>(
  {
    responseSerialize,
    responseDeserialize,
  }: Pick<MethodDefinition<never, Reply>, "responseSerialize" | "responseDeserialize">,
  withoutFrame: (reply: Reply) => Omit<Reply, "frame">,
): { responseSerialize: (reply: Reply) => Buffer; responseDeserialize: (bytes: Buffer) => Reply } {
  const codec = framed<Reply>({ serialize: responseSerialize, deserialize: responseDeserialize }, withoutFrame);
  return { responseSerialize: codec.serialize, responseDeserialize: codec.deserialize };
}
