// libs/kernel/hash128.ts: SipHash-2-4-128 by the kernel, for processes that hash keys and decode no requests: 0.5 µs a series key, where
// the plain twin takes 40.
import type { Hash128 } from "../model/index.ts";
import { createMemory, loadKernel, PAGE_BYTES } from "./load.ts";
import { siphash128 } from "./twin/siphash.ts";

interface Exports {
  siphash128(key: number, at: number, length: number, out: number): void;
}

const KEY_AT = 64;
const OUT_AT = 128;
const MESSAGE_AT = 256;
/** Longer messages are hashed plainly: series keys are shorter as a rule. */
const MESSAGE_BYTES_MAX = 4 * PAGE_BYTES - MESSAGE_AT - 64;

/** The hash under a 16-byte key; for ids, homes and lanes. */
export function createHash128(key: Uint8Array): Hash128 {
  const memory = createMemory(4 * PAGE_BYTES);
  const kernel = loadKernel<Exports>("ingest", memory);
  const bytes = new Uint8Array(memory.buffer);
  const keyCopy = key.slice();
  bytes.set(keyCopy, KEY_AT);
  return (message) => {
    if (message.length > MESSAGE_BYTES_MAX) return siphash128(keyCopy, message);
    bytes.set(message, MESSAGE_AT);
    kernel.siphash128(KEY_AT, MESSAGE_AT, message.length, OUT_AT);
    return bytes.slice(OUT_AT, OUT_AT + 16);
  };
}
