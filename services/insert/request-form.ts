// services/insert/request-form.ts: which remote-write message a request carries, from its headers alone.
// Lenient where Prometheus' receiver is strict by accident: blanks around parameters, quotes, upper case.

export type WireVersion = 1 | 2;

export const WRITE_V1_TYPE = "application/x-protobuf";
export const WRITE_V2_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/** The message's version, or one sentence for a 415. An absent or empty content type means version 1. */
export function parseContentType(contentType: string | undefined): WireVersion | string {
  const text = contentType?.trim() ?? "";
  // What every client sends, without parsing.
  if (text === "" || text === WRITE_V1_TYPE) return 1;
  if (text === WRITE_V2_TYPE) return 2;
  const [media, ...parameters] = text.split(";").map((part) => part.trim());
  const refused = `cannot read write request: got content type ${JSON.stringify(text.slice(0, 120))}; want ${WRITE_V1_TYPE}, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request`;
  if (media!.toLowerCase() !== WRITE_V1_TYPE) return refused;
  let version: WireVersion = 1;
  for (const parameter of parameters) {
    const pair = /^([^=\s]+)\s*=\s*(?:"([^"]*)"|([^"\s]*))$/.exec(parameter);
    if (pair === null) return refused;
    if (pair[1]!.toLowerCase() !== "proto") continue;
    const proto = pair[2] ?? pair[3];
    if (proto === "prometheus.WriteRequest") version = 1;
    else if (proto === "io.prometheus.write.v2.Request") version = 2;
    else return refused;
  }
  return version;
}

/** Undefined for snappy (also when absent, as old clients do), else one sentence for a 415. */
export function checkContentEncoding(contentEncoding: string | undefined): string | undefined {
  const text = contentEncoding?.trim() ?? "";
  if (text === "" || text.toLowerCase() === "snappy") return undefined;
  return `cannot read write request: got content encoding ${JSON.stringify(text.slice(0, 80))}; want snappy (block format)`;
}
