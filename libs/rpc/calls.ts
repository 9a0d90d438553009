// libs/rpc/calls.ts: client calls as promises, with deadlines and abort signals, and every failure as an AppError.
import { setMaxListeners } from "node:events";
import type { Client, ClientReadableStream, Metadata, MethodDefinition, ServiceError } from "@grpc/grpc-js";
import { AppError, CanceledError, TimeoutError } from "../model/index.ts";
import { errorOfStatus } from "./status.ts";

/** Timers hold no more than 2^31 ms; nothing waits longer than a day. */
export const DEADLINE_AFTER_MAX_MS = 86_400_000;

/** How long a call may take, and who may end it sooner. */
export interface CallLimits {
  /** Wall-clock ms; may be Infinity. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

function callOptions(limits: CallLimits): { deadline?: number } {
  if (limits.deadlineMs === Number.POSITIVE_INFINITY) return {};
  return { deadline: Math.min(limits.deadlineMs, Date.now() + DEADLINE_AFTER_MAX_MS) };
}

/** Runs `cancel` when the signal aborts. One signal serves all calls of a query, which may be many. */
export function onAbort(signal: AbortSignal | undefined, cancel: () => void): void {
  if (signal === undefined) return;
  setMaxListeners(0, signal);
  signal.addEventListener("abort", cancel);
}

/** Fails at once when a call would be pointless. */
export function checkLimits(limits: CallLimits, address: string): void {
  if (limits.signal?.aborted) throw abortError(limits.signal, address);
  if (Date.now() >= limits.deadlineMs) {
    throw new TimeoutError(`cannot ask ${address}: got a deadline that has passed; want a longer timeout`);
  }
}

export function abortError(signal: AbortSignal, address: string): AppError {
  if (signal.reason instanceof AppError) return signal.reason;
  return new CanceledError(`cannot finish call to ${address}: got canceled`);
}

/** One request, one reply. */
export function callUnary<Request, Reply>(
  client: Client,
  method: MethodDefinition<Request, Reply>,
  request: Request,
  headers: Metadata,
  limits: CallLimits,
  address: string,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    checkLimits(limits, address);
    const { path, requestSerialize, responseDeserialize } = method;
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      headers,
      callOptions(limits),
      (error: ServiceError | null, reply?: Reply) => {
        limits.signal?.removeEventListener("abort", cancel);
        if (limits.signal?.aborted) reject(abortError(limits.signal, address));
        else if (error !== null) reject(errorOfStatus(error, address));
        else resolve(reply!);
      },
    );
    const cancel = (): void => call.cancel();
    onAbort(limits.signal, cancel);
  });
}

/** One request, a stream of replies, each handed to `take` as it comes. What `take` throws ends the call. */
export function callStream<Request, Reply>(
  client: Client,
  method: MethodDefinition<Request, Reply>,
  request: Request,
  headers: Metadata,
  limits: CallLimits,
  address: string,
  take: (reply: Reply) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    checkLimits(limits, address);
    const { path, requestSerialize, responseDeserialize } = method;
    const call: ClientReadableStream<Reply> = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      headers,
      callOptions(limits),
    );
    const cancel = (): void => call.cancel();
    const settle = (error?: unknown): void => {
      limits.signal?.removeEventListener("abort", cancel);
      if (error === undefined) resolve();
      else reject(error);
    };
    onAbort(limits.signal, cancel);
    call.on("data", (reply: Reply) => {
      try {
        take(reply);
      } catch (error) {
        settle(error);
        call.cancel();
      }
    });
    call.on("end", () => settle());
    call.on("error", (error: ServiceError) => {
      settle(limits.signal?.aborted ? abortError(limits.signal, address) : errorOfStatus(error, address));
    });
  });
}

/**
 * One request, a stream of replies that comes no faster than it is read. The call ends with the reading, whoever stops first.
 */
export async function* readStream<Request, Reply>(
  client: Client,
  method: MethodDefinition<Request, Reply>,
  request: Request,
  headers: Metadata,
  limits: CallLimits,
  address: string,
): AsyncGenerator<Reply, void, void> {
  checkLimits(limits, address);
  const { path, requestSerialize, responseDeserialize } = method;
  const options = callOptions(limits);
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, headers, options);
  const cancel = (): void => call.cancel();
  onAbort(limits.signal, cancel);
  // The loop hears of errors while it reads; what comes after it has stopped is the cancellation's own.
  call.on("error", () => undefined);
  try {
    for await (const reply of call) yield reply as Reply;
  } catch (error) {
    throw limits.signal?.aborted ? abortError(limits.signal, address) : errorOfStatus(error as ServiceError, address);
  } finally {
    limits.signal?.removeEventListener("abort", cancel);
    cancel();
  }
}
