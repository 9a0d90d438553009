// libs/rpc/column-frame.ts: layout of the column frame, shared by encoder and decoder. Format: FORMAT.md beside this.
import { endianness } from "node:os";
import { assert } from "../model/index.ts";

assert(endianness() === "LE", "frames are written as the machine's own numbers, so the machine is little-endian");

/** "TMC1" */
export const FRAME_MAGIC = 0x31434d54;
export const FRAME_HEADER_BYTES = 32;
export const PIECE_HEADER_BYTES = 16;
/** Points in one piece; longer columns are cut. Bounds what a decoder allocates for a constant. */
export const PIECE_POINTS_MAX = 16384;
/** A frame is sent when the next column would pass this; only labels beyond it make a longer one. */
export const FRAME_BYTES = 512 << 10;

export const CONSTANT = 1;
export const BITMAP = 2;
export const WEIGHTS = 4;
export const CONSTANT_WEIGHTS = 8;
export const TIMES = 16;
export const MORE = 32;
export const CONTINUED = 64;
export const HISTOGRAMS = 128;
export const STATES = 256;
export const LOSSES = 512;
export const HISTOGRAM_LOSSES = 1024;
export const KNOWN_FLAGS = 2047;
