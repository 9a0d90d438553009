// libs/runtime/units.ts: the texts an operator writes for durations, sizes, counts and addresses.
// Every parser returns undefined for a text it does not accept; the caller knows the flag or parameter to name.

const DURATION_FORM = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const DURATION_UNITS_MS = [365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000, 1];
const DURATION_NAMES = ["y", "w", "d", "h", "m", "s", "ms"];

/** A Prometheus duration (`1h30m`, `15s`, `500ms`; units y w d h m s ms in that order, each at most once; `0`) in ms. */
export function parseDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  const parts = text === "" ? null : DURATION_FORM.exec(text);
  if (parts === null) return undefined;
  let ms = 0;
  for (let i = 0; i < 7; i++) if (parts[i + 1] !== undefined) ms += Number(parts[i + 1]) * DURATION_UNITS_MS[i]!;
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** ms as the shortest Prometheus duration: `1h30m`, `0s`. Whole ms only. */
export function formatDurationMs(ms: number): string {
  if (ms === 0) return "0s";
  let rest = ms;
  let out = "";
  for (let i = 0; i < 7; i++) {
    const unit = DURATION_UNITS_MS[i]!;
    const n = Math.floor(rest / unit);
    // Years and weeks are written only when nothing is left over, so that 30d stays 30d.
    if (n === 0 || (i < 2 && rest % unit !== 0)) continue;
    out += `${n}${DURATION_NAMES[i]}`;
    rest -= n * unit;
  }
  return out;
}

const SIZE_FORM = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)$/;
const SIZE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A size with its unit (`64MiB`, `1.5GiB`, `512B`) in bytes; the unit is not optional. */
export function parseSizeBytes(text: string): number | undefined {
  const parts = SIZE_FORM.exec(text);
  if (parts === null) return undefined;
  const exact = Number(parts[1]) * 1024 ** SIZE_UNITS.indexOf(parts[2]!);
  // 3.9GiB is no whole number of bytes; 0.3B is a mistake.
  const bytes = parts[2] === "B" ? exact : Math.floor(exact);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes in the largest unit that leaves at least 1, with at most one decimal: `64MiB`, `1.5GiB`. */
export function formatSizeBytes(bytes: number): string {
  let unit = 0;
  let n = bytes;
  while (n >= 1024 && unit < SIZE_UNITS.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${Number(n.toFixed(1))}${SIZE_UNITS[unit]}`;
}

/** A whole number, written plainly or as `50e6`. */
export function parseCount(text: string): number | undefined {
  if (!/^\d+(?:e\d{1,2})?$/.test(text)) return undefined;
  const n = Number(text);
  return Number.isSafeInteger(n) ? n : undefined;
}

/** Where to listen or connect. An empty host means every interface. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[IPV6]:PORT` or `:PORT`. Port 0 is accepted: it asks for a free one. */
export function parseHostPort(text: string): HostPort | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(text);
  if (parts === null) return undefined;
  const port = Number(parts[3]);
  return port > 65_535 ? undefined : { host: parts[1] ?? parts[2]!, port };
}

/** The text form of an address; IPv6 hosts in brackets. */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether only this machine can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}
