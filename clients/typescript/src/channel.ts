/** How a channel to the router is set up. */

import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";

import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";

/** How to connect. */
export interface ConnectOptions {
  /** The key to call with; by default `LLMROUTER_API_KEY` of the environment, `""` for none. */
  apiKey?: string;
  /** Encrypts: `true` with the system's certificate authorities, or these PEM texts. Without it the connection is plaintext. */
  tls?: boolean | { ca?: string | Uint8Array; key?: string | Uint8Array; cert?: string | Uint8Array };
  /** Lets the key travel unencrypted beyond this machine, where a proxy or mesh encrypts. */
  plaintextKey?: boolean;
  /** The deadline of calls that give none, in milliseconds; a minute by default. */
  timeoutMs?: number;
  /** gRPC's own options, after those of this package. */
  channelOptions?: ChannelOptions;
}

const MEBIBYTE = 1024 * 1024;
const SCHEME = /^(dns|unix|ipv4|ipv6|xds):/;
const HOST_AND_PORT = /^(\[[^[\]/]+\]|[^[\]:/\s]+):\d{1,5}$/;
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const serviceConfig = packaged("service_config.json");
const { version } = JSON.parse(packaged("package.json")) as { version: string };

/** The gRPC target of `host:port`: every address of the host is used. A target with a scheme stays as it is. */
export function targetOf(address: string): string {
  if (SCHEME.test(address)) return address;
  if (!HOST_AND_PORT.test(address)) {
    throw new TypeError(`A router's address is host:port, such as 127.0.0.1:50051, not ${JSON.stringify(address)}`);
  }
  return `dns:///${address}`;
}

/** The key to call this target with, or none. Throws where it would be readable on the way and nobody said that this is meant. */
export function keyFor(target: string, options: ConnectOptions): string {
  const key = options.apiKey ?? process.env["LLMROUTER_API_KEY"] ?? "";
  metadataText("an API key", key);
  if (key && !options.tls && !options.plaintextKey && !isLocal(target)) {
    throw new TypeError(
      `The API key would travel unencrypted to ${target}: speak TLS (tls: true), or allow it with ` +
        "plaintextKey: true where a proxy or mesh here encrypts",
    );
  }
  return key;
}

/** Refuses what cannot travel as gRPC metadata; the value, which may be secret, is not repeated. */
export function metadataText(what: string, value: string): string {
  if (/[^ -~]/.test(value)) throw new TypeError(`${what} is printable ASCII text without a line break`);
  return value;
}

export function credentialsFor({ tls }: ConnectOptions): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const { ca, key, cert } = tls === true ? {} : tls;
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}

/** Times are milliseconds, sizes bytes. */
export function channelOptions(target: string): ChannelOptions {
  return {
    "grpc.service_config": serviceConfig,
    // Otherwise grpc-js asks DNS for another one.
    "grpc.service_config_disable_resolution": 1,
    "grpc.primary_user_agent": `llmrouter-typescript/${version}`,
    "grpc.max_send_message_length": 4 * MEBIBYTE,
    "grpc.max_receive_message_length": 16 * MEBIBYTE,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    // Servers end a connection that pings more than twice within five silent minutes.
    "grpc.keepalive_time_ms": 120_000,
    "grpc.keepalive_timeout_ms": 20_000,
    // What stays on this machine, a key in plaintext too, goes through no proxy.
    ...(isLocal(target) ? { "grpc.enable_http_proxy": 0 } : {}),
  };
}

/** Whether a target is on this machine for certain. */
function isLocal(target: string): boolean {
  const [scheme = "", rest = ""] = target.split(/:(.*)/s);
  if (scheme === "unix") return true;
  if (scheme === "ipv4" || scheme === "ipv6") return rest.split(",").every(isLoopback);
  return scheme === "dns" && isLoopback(rest.slice(rest.lastIndexOf("/") + 1));
}

function isLoopback(hostAndPort: string): boolean {
  const host = hostAndPort.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const kind = isIP(host);
  return host === "localhost" || (kind > 0 && LOOPBACK.check(host, kind === 4 ? "ipv4" : "ipv6"));
}

function pem(given: string | Uint8Array | undefined): Buffer | null {
  return given === undefined ? null : Buffer.from(given as string);
}

/** A file beside this package's `dist`. */
function packaged(name: string): string {
  return readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
}
