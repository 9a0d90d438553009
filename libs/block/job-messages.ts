// libs/block/job-messages.ts: what a builder and its worker say to each other. Messages name their job: one that comes late is dropped.
import { errorText } from "../env/index.ts";
import type { PieceValue } from "../index/index.ts";
import {
  AppError,
  CanceledError,
  CorruptionError,
  InternalError,
  InvalidError,
  type Reaction,
  UnavailableError,
} from "../model/index.ts";
import type { BuildTask, MergeTask } from "./job.ts";
import type { BlockPiece } from "./piece.ts";
import type { BlockSummary } from "./writer.ts";

export type BuilderRequest =
  | { readonly kind: "build"; readonly job: number; readonly task: BuildTask }
  | { readonly kind: "merge"; readonly job: number; readonly task: MergeTask }
  | { readonly kind: "index"; readonly job: number; readonly path: string }
  /** Answers a "want"; the buffers are transferred. */
  | { readonly kind: "piece"; readonly job: number; readonly piece: BlockPiece }
  /** Answers a "want": there are no more. */
  | { readonly kind: "end"; readonly job: number }
  | { readonly kind: "cancel"; readonly job: number }
  | { readonly kind: "close" };

export type BuilderReply =
  /** One more piece may be sent. */
  | { readonly kind: "want"; readonly job: number }
  | { readonly kind: "done"; readonly job: number; readonly summary: BlockSummary }
  | { readonly kind: "indexed"; readonly job: number; readonly pieces: PieceValue[] }
  /** Nothing is left of the job. */
  | { readonly kind: "failed"; readonly job: number; readonly error: ErrorParts };

/** Pieces in flight: one is written while the next is made. */
export const PIECES_IN_FLIGHT = 2;

/** An error as plain data: a structured clone would lose its class. */
export interface ErrorParts {
  readonly reaction: Reaction;
  readonly message: string;
  readonly path: string;
  readonly offset: number;
  readonly retryAfterSeconds: number;
}

export function errorParts(error: unknown): ErrorParts {
  const app = error instanceof AppError;
  return {
    reaction: app ? error.reaction : "internal",
    message: app ? error.message : `cannot build block: got ${errorText(error)}; want no unexpected error`,
    path: error instanceof CorruptionError ? error.path : "",
    offset: error instanceof CorruptionError ? error.offset : 0,
    retryAfterSeconds: error instanceof UnavailableError ? error.retryAfterSeconds : 1,
  };
}

/** The error again. Reactions that building doesn't know become InternalError. */
export function errorFrom({ reaction, message, path, offset, retryAfterSeconds }: ErrorParts): AppError {
  switch (reaction) {
    case "invalid":
      return new InvalidError(message);
    case "unavailable":
      return new UnavailableError(message, retryAfterSeconds);
    case "corruption":
      return new CorruptionError(message, path, offset);
    case "canceled":
      return new CanceledError(message);
    default:
      return new InternalError(message);
  }
}
