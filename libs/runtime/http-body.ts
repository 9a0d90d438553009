// libs/runtime/http-body.ts: the body of a request in the pieces it arrived in, never more than a limit.
// The write path runs through here once per request, and copies nothing: each piece is memory of its own.
import type { IncomingMessage } from "node:http";
import { CanceledError, UnavailableError } from "../model/index.ts";
import { HttpError } from "./http-errors.ts";

/** A body that is being received. */
interface HeldBody {
  bytes: number;
  readonly refuse: (error: Error) => void;
}

/**
 * The bodies that a server is receiving, together: slow clients hold what they have sent for as long as a request may take. When they are too much, the
 * longest one has to go, so that many short ones are not kept out by a few long ones.
 */
export class HeldBodies {
  readonly bytesMax: number;
  bytes = 0;
  /** Bodies that were refused because of the others. */
  refused = 0;
  private readonly bodies = new Set<HeldBody>();

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Counts what has come of a body, and refuses the longest ones beyond the bound; one always stays. */
  add(body: HeldBody, bytes: number): void {
    this.bodies.add(body);
    body.bytes += bytes;
    this.bytes += bytes;
    while (this.bytes > this.bytesMax && this.bodies.size > 1) {
      let longest = body;
      for (const one of this.bodies) if (one.bytes > longest.bytes) longest = one;
      this.refused++;
      longest.refuse(tooMany(this.bytesMax));
    }
  }

  /** A body has been received, or will not be. */
  release(body: HeldBody): void {
    if (this.bodies.delete(body)) this.bytes -= body.bytes;
  }
}

/** How long a client whose connection is cut has to read its answer. */
const FAREWELL_MS = 500;

/**
 * Reads the whole body. `limitName` is the flag an operator can change, for the message.
 * Errors: HttpError 413 when it is longer than `limitBytes` (without waiting for it, when the length is declared), UnavailableError when the bodies
 * that are being received are more than may be held, CanceledError when the client goes away in the middle.
 */
export function readParts(
  request: IncomingMessage,
  limitBytes: number,
  limitName: string,
  held: HeldBodies,
): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    let isRefused = false;
    const refuse = (error: Error): void => {
      isRefused = true;
      parts.length = 0;
      held.release(body);
      reject(error);
    };
    const body: HeldBody = { bytes: 0, refuse };
    // The parser has refused lengths that are no numbers, and a length beside chunked encoding.
    const declared = request.headers["content-length"];
    if (Number(declared) > limitBytes) refuse(tooLarge(declared!, limitBytes, limitName));
    request.on("data", (part: Buffer) => {
      size += part.length;
      if (!isRefused) {
        parts.push(part);
        if (size > limitBytes) refuse(tooLarge(`more than ${limitBytes}`, limitBytes, limitName));
        else held.add(body, part.length);
        return;
      }
      // What still comes is read and dropped, so that the client gets to see the answer and can go on with the connection, but not without end.
      if (size > 2 * limitBytes && !request.isPaused()) cut(request);
    });
    request.on("end", () => {
      held.release(body);
      resolve(parts);
    });
    // "close" follows "end" too; making an error each time would cost 5 µs a request.
    request.on("close", () => {
      if (request.readableEnded) return;
      held.release(body);
      reject(new CanceledError("cannot read body: got a closed connection; want all of it"));
    });
  });
}

/** Takes no more from a client, and cuts the connection a little later: at once the system would throw away what the client has not read yet. */
function cut(request: IncomingMessage): void {
  request.pause();
  setTimeout(() => request.socket.destroy(), FAREWELL_MS).unref();
}

function tooMany(bytesMax: number): UnavailableError {
  const got = `more than ${bytesMax} bytes of bodies at the same time`;
  return new UnavailableError(`cannot read body: got ${got}; want fewer or shorter requests (--http-bodies-max)`);
}

function tooLarge(got: string, limitBytes: number, limitName: string): HttpError {
  return new HttpError(413, `cannot read body: got ${got} bytes; want at most ${limitBytes} (${limitName})`);
}
