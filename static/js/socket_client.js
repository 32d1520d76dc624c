// A receive-only Socket.IO v5 client (Engine.IO v4) over WebSocket.
// Protocols: https://socket.io/docs/v4/engine-io-protocol/ and https://socket.io/docs/v4/socket-io-protocol/

const OPEN = "0";
const PING = "2";
const PONG = "3";
const MESSAGE = "4";
const CONNECT = "0";
const DISCONNECT = "1";
const EVENT = "2";
const CONNECT_ERROR = "4";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/**
 * How long to wait before attempt `attempt` (0, 1, …): doubling, bounded, spread by `chance` so that
 * many pages do not return at once.
 * @param {number} attempt
 * @param {number} chance In [0, 1).
 * @returns {number} Milliseconds.
 */
export function retryDelay(attempt, chance) {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt) * (0.5 + chance / 2);
}

/**
 * Split a Socket.IO packet of the default namespace.
 * @param {string} packet Without the Engine.IO type.
 * @returns {{type: string, data: *}}
 */
export function parsePacket(packet) {
  const text = packet.slice(1).replace(/^\/[^,]*,/, "").replace(/^\d+(?=[[{])/, "");
  return { type: packet[0], data: text ? JSON.parse(text) : null };
}

/** Keeps one connection open; says "connect", "disconnect", and each event the server emits. */
export class SocketClient {
  /** @param {string} origin Such as http://127.0.0.1:5000. */
  constructor(origin) {
    this.url = `${origin.replace(/^http/, "ws")}/socket.io/?EIO=4&transport=websocket`;
    this.listeners = new Map();
    this.attempt = 0;
    this.closed = false;
  }

  /**
   * @param {string} event
   * @param {function(*): void} listener
   * @returns {SocketClient} This one, to chain.
   */
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
    return this;
  }

  /** Connect, and again whenever the connection is lost. */
  open() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onmessage = ({ data }) => typeof data === "string" && this.#receive(socket, data);
    socket.onclose = () => this.#lost();
  }

  /** Close for good. */
  close() {
    this.closed = true;
    clearTimeout(this.retryTimer);
    this.socket?.close();
  }

  #tell(event, data) {
    for (const listener of this.listeners.get(event) ?? []) listener(data);
  }

  #receive(socket, packet) {
    const body = packet.slice(1);
    if (packet[0] === OPEN) {
      const { pingInterval, pingTimeout } = JSON.parse(body);
      this.silenceLimit = pingInterval + pingTimeout;
      socket.send(MESSAGE + CONNECT);
    } else if (packet[0] === PING) {
      socket.send(PONG);
    } else if (packet[0] === MESSAGE) {
      this.#receiveMessage(socket, parsePacket(body));
    }
    this.#expectHeartbeat(socket);
  }

  #receiveMessage(socket, { type, data }) {
    if (type === CONNECT) {
      this.attempt = 0;
      this.#tell("connect", data);
    } else if (type === EVENT) {
      this.#tell(data[0], data[1]);
    } else if (type === DISCONNECT || type === CONNECT_ERROR) {
      socket.close();
    }
  }

  #expectHeartbeat(socket) {
    clearTimeout(this.heartbeatTimer);
    this.heartbeatTimer = setTimeout(() => socket.close(), this.silenceLimit);
  }

  #lost() {
    clearTimeout(this.heartbeatTimer);
    this.#tell("disconnect", null);
    if (this.closed) return;
    this.retryTimer = setTimeout(() => this.open(), retryDelay(this.attempt, Math.random()));
    this.attempt += 1;
  }
}
