// libs/rpc/answers.ts: what all answers of a storage have in common: limits of the question, pace, whose fault a failure is.
import type { Writable } from "node:stream";
import { AppError, CanceledError, type QueryContext, TimeoutError } from "../model/index.ts";

/** What requests say of the asker and of what the answer may take. */
export interface Asking {
  readonly tenant: string;
  readonly samplesMax?: number;
  readonly seriesMax?: number;
  readonly bytesMax?: number;
}

/** The messages of an answer: at hand, or as they are made. */
export type Replies<Reply> = Iterable<Reply> | AsyncIterable<Reply>;

/** 0, also from a peer that doesn't know a limit, means that there is none. */
export function limitsOf({
  samplesMax,
  seriesMax,
  bytesMax,
}: Asking): Omit<QueryContext, "tenant" | "signal" | "deadlineMs"> {
  return {
    samplesMax: samplesMax ?? Number.POSITIVE_INFINITY,
    ...(seriesMax ? { seriesMax } : {}),
    ...(bytesMax ? { bytesMax } : {}),
  };
}

/** Whether a failure says something about this storage rather than about the question. */
export function isOurs(error: unknown): boolean {
  return !(error instanceof AppError) || ["unavailable", "corruption", "internal"].includes(error.reaction);
}

export function hungUp(): CanceledError {
  return new CanceledError("cannot finish query: got a caller that went away");
}

export function pastDeadline(): TimeoutError {
  return new TimeoutError("cannot finish query: got past its deadline");
}

/**
 * Writes messages no faster than the caller takes them, and leaves the event loop to others between two. Answers that
 * share a stream take turns. Stops with the signal's reason.
 */
export async function sendAll<Reply, Message>(
  call: Writable,
  replies: Replies<Reply>,
  messageOf: (reply: Reply) => Message,
  signal: AbortSignal,
): Promise<void> {
  let isFirst = true;
  for await (const reply of replies) {
    if (!isFirst) await new Promise((resolve) => setImmediate(resolve));
    isFirst = false;
    signal.throwIfAborted();
    while (call.writableNeedDrain) await drained(call, signal);
    call.write(messageOf(reply));
  }
  signal.throwIfAborted();
}

function drained(call: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = (): void => {
      call.removeListener("drain", onDrain);
      reject(signal.reason);
    };
    call.once("drain", onDrain);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}
