// libs/chunk/index.ts: what other folders may use of the head's chunk format.
export * from "./constants.ts";
export { type DecodedChunk, decodeChunk } from "./decode.ts";
