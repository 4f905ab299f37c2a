/**
 * The way to the engine: a hidden frame of the extension's own, which may start workers where the page may not, and whose
 * work is on other threads than the page's.
 */

const PATIENCE_MS = 10000;

export class EngineLink {
  constructor() {
    this._calls = new Map();
    this._count = 0;
    this._frame = null;
    this._port = null;
    /** What keeps the engine from working, for the popup. */
    this.problem = "";
  }

  /** Start the frame where it is not there yet. Breaks where the page does not let it in. */
  open() {
    this._opened ??= this._open();
    return this._opened;
  }

  async _open() {
    const address = chrome.runtime.getURL("engine/engine.html");
    const frame = document.createElement("iframe");
    frame.style.setProperty("display", "none", "important");
    frame.setAttribute("aria-hidden", "true");
    frame.title = "keenframe";
    frame.src = address;
    const { port1, port2 } = new MessageChannel();
    const ready = new Promise((resolve, reject) => {
      this._calls.set("ready", { resolve, reject });
      setTimeout(() => reject(new Error("this page does not let keenframe's engine in")), PATIENCE_MS);
    });
    port1.onmessage = ({ data }) => this._heard(data);
    frame.onload = () => frame.contentWindow.postMessage("keenframe", new URL(address).origin, [port2]);
    document.documentElement.append(frame);
    this._frame = frame;
    this._port = port1;
    try {
      await ready;
    } catch (error) {
      // Not tried again: the page would refuse it every time.
      this.problem = error.message;
      frame.remove();
      throw error;
    }
  }

  /** Begin a stream; gives its number. */
  begin(options) {
    const stream = ++this._count;
    this._port.postMessage({ type: "begin", stream, options });
    return stream;
  }

  set(stream, options) {
    this._port?.postMessage({ type: "set", stream, options });
  }

  end(stream) {
    this._port?.postMessage({ type: "end", stream });
  }

  /** A promise of {picture, stats}. The picture's bytes go away. */
  sharpen(stream, picture) {
    const id = ++this._count;
    return new Promise((resolve, reject) => {
      this._calls.set(id, { resolve, reject });
      this._port.postMessage({ type: "sharpen", stream, id, picture }, [picture.data.buffer]);
    });
  }

  /** Take the frame away; `open` brings another. */
  close() {
    this._frame?.remove();
    this._port?.close();
    this._frame = this._port = this._opened = null;
    for (const { reject } of this._calls.values()) reject(new Error("keenframe's engine was closed"));
    this._calls.clear();
  }

  _heard({ type, id, message, ...rest }) {
    const name = id ?? "ready";
    const call = this._calls.get(name);
    this._calls.delete(name);
    if (type === "failed") {
      this.problem = message;
      call?.reject(new Error(message));
    } else {
      call?.resolve(rest);
    }
  }
}
