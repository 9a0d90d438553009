// libs/runtime/http-body.ts: the body of a request in the pieces it arrived in, never more than a limit.
// The write path runs through here once per request, and copies nothing: each piece is memory of its own.
import type { IncomingMessage } from "node:http";
import { CanceledError, UnavailableError } from "../model/index.ts";
import { HttpError } from "./http-errors.ts";

/** The bodies that a server is receiving, together: slow clients hold what they have sent for as long as a request may take. */
export class HeldBodies {
  readonly bytesMax: number;
  bytes = 0;
  /** Bodies that were refused because of the others. */
  refused = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Whether a body of which so many bytes are here has to go: others are, too, and they are too much together. */
  isCrowded(ownBytes: number): boolean {
    return this.bytes > this.bytesMax && this.bytes > ownBytes;
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
    let ownBytes = 0;
    let isRefused = false;
    const release = (): void => {
      held.bytes -= ownBytes;
      ownBytes = 0;
    };
    const refuse = (error: Error): void => {
      isRefused = true;
      parts.length = 0;
      release();
      reject(error);
    };
    // The parser has refused lengths that are no numbers, and a length beside chunked encoding.
    const declared = request.headers["content-length"];
    if (Number(declared) > limitBytes) refuse(tooLarge(declared!, limitBytes, limitName));
    request.on("data", (part: Buffer) => {
      size += part.length;
      if (!isRefused) {
        parts.push(part);
        ownBytes += part.length;
        held.bytes += part.length;
        if (size > limitBytes) refuse(tooLarge(`more than ${limitBytes}`, limitBytes, limitName));
        else if (held.isCrowded(ownBytes)) {
          held.refused++;
          refuse(tooMany(held.bytesMax));
        }
        return;
      }
      // What still comes is read and dropped, so that the client gets to see the answer and can go on with the connection, but not without end.
      if (size > 2 * limitBytes && !request.isPaused()) cut(request);
    });
    request.on("end", () => {
      release();
      resolve(parts);
    });
    // "close" follows "end" too; making an error each time would cost 5 µs a request.
    request.on("close", () => {
      if (request.readableEnded) return;
      release();
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
