// libs/rpc/bytes-message.ts: protobuf messages that are one big `bytes` field 1, and perhaps small fields after it.
// Generic protobuf code copies such a field two or three times; here it is written in place and read as a view.
// The bytes are those of any protobuf encoder, and any order of fields is read (by the generic decoder).

const FIELD_ONE_BYTES = 0x0a;
/** Tag and the longest length before a field of less than 4 GiB. */
export const BYTES_HEADER_MAX = 6;

/** Writes tag and length so that they end right before `payloadAt`. Returns where they begin. */
export function writeBytesHeader(buffer: Uint8Array, payloadAt: number, length: number): number {
  let size = 1;
  for (let n = length; n > 127; n = Math.floor(n / 128)) size++;
  const start = payloadAt - size - 1;
  buffer[start] = FIELD_ONE_BYTES;
  let rest = length;
  for (let i = start + 1; i < payloadAt; i++) {
    const more = i + 1 < payloadAt ? 128 : 0;
    buffer[i] = (rest % 128) | more;
    rest = Math.floor(rest / 128);
  }
  return start;
}

/** A message of field 1 followed by `rest`, which is zero or more encoded fields. */
export function joinBytesMessage(payload: Uint8Array, rest: Uint8Array): Buffer {
  if (payload.length === 0) return Buffer.from(rest.buffer, rest.byteOffset, rest.length);
  const message = Buffer.allocUnsafe(BYTES_HEADER_MAX + payload.length + rest.length);
  const start = writeBytesHeader(message, BYTES_HEADER_MAX, payload.length);
  message.set(payload, BYTES_HEADER_MAX);
  message.set(rest, BYTES_HEADER_MAX + payload.length);
  return message.subarray(start);
}

/**
 * Splits a message that begins with field 1 into a view of that field and the bytes after it. Undefined for every
 * other message, a damaged one included: the generic decoder says what it is.
 */
export function splitBytesMessage(message: Buffer): { payload: Buffer; rest: Buffer } | undefined {
  if (message[0] !== FIELD_ONE_BYTES) return undefined;
  let length = 0;
  let scale = 1;
  for (let at = 1; at < BYTES_HEADER_MAX && at < message.length; at++) {
    const byte = message[at]!;
    length += (byte & 127) * scale;
    scale *= 128;
    if (byte < 128) {
      const end = at + 1 + length;
      if (end > message.length) return undefined;
      return { payload: message.subarray(at + 1, end), rest: message.subarray(end) };
    }
  }
  return undefined;
}
