// Browsers start no worker for a page that was opened from a disk. The search then runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const address = new URL(url, location.href).href;
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.frame = frame;
      const scope = frame.contentWindow;
      scope.postMessageToPage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      frame.contentDocument.open();
      frame.contentDocument.write(`<!doctype html><base href="${address}"><body><script>
        const deliver = (data) => dispatchEvent(new MessageEvent("message", { data }));
        window.postMessage = (data) => postMessageToPage(data);
        const load = (source) => new Promise((done, failed) => {
          const script = document.createElement("script");
          Object.assign(script, { src: source, onload: done, onerror: failed });
          document.body.appendChild(script);
        });
        const importScripts = (...sources) => sources.reduce((before, each) => before.then(() => load(each)), Promise.resolve());
        const ready = load("${address}");
      <\/script></body>`);
      frame.contentDocument.close();
    }
    postMessage(data) {
      const scope = this.frame.contentWindow;
      scope.eval("ready").then(() => scope.eval("deliver")(data));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
