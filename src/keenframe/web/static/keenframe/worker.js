/** A stream of its own on a thread of its own; host.js has the other end. */

import { makeEngines } from "./engines.js";
import { Pump, sharpenOne, sharpenOrPass } from "./pump.js";
import { Stream } from "./stream.js";

const REPORT_MS = 250;

let stream = null;
let pump = null;

async function begin({ setup, options }) {
  stream = new Stream(await makeEngines(setup), setup.module, options);
  setInterval(report, REPORT_MS);
}

function report() {
  postMessage({ type: "stats", stats: stream.stats() });
}

const actions = {
  async sharpen({ id, frame, passing }) {
    try {
      const result = await (passing ? sharpenOrPass : sharpenOne)(stream, frame);
      postMessage({ type: "sharpened", id, result }, [result]);
    } finally {
      frame.close();
    }
  },
  async sharpenPicture({ id, picture }) {
    const result = await stream.process(picture);
    postMessage({ type: "sharpened", id, result }, [result.data.buffer]);
  },
  async pump({ readable, writable }) {
    pump = new Pump(stream, readable, writable);
    await pump.run();
    report();
    postMessage({ type: "ended" });
  },
  set({ options }) {
    stream.set(options);
  },
  stop() {
    return pump?.stop();
  },
};

let ready = null;

onmessage = async ({ data }) => {
  try {
    if (data.type === "begin") {
      ready = begin(data);
      await ready;
      postMessage({ type: "ready", levels: stream.levels });
    } else {
      await ready;
      await actions[data.type](data);
    }
  } catch (error) {
    postMessage({ type: "failed", message: error.message, id: data.id });
  }
};
